//! One running platform, whichever it is.

use std::path::{Path, PathBuf};
use std::pin::Pin;

use anyhow::{Context, Result};

use crate::{ColdRequest, ColdSample, Meters, Options, Platform, Runtime, Usage};

/// A future whose code is in this crate. The code of an `async fn` would be compiled in every program that awaits it, and
/// a platform is much code.
type Compiled<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Writes the dispatch over the platforms that are compiled in. Each platform's module has the same seven functions.
macro_rules! platforms {
    ($($platform:ident, $feature:tt, $host:path;)*) => {
        enum Running {
            $(#[cfg(feature = $feature)] $platform(Box<$host>),)*
        }

        impl Running {
            fn start<'a>(platform: Platform, options: &'a Options, data: &'a Path) -> Compiled<'a, Self> {
                match platform {
                    $(#[cfg(feature = $feature)]
                    Platform::$platform => Box::pin(async move {
                        Ok(Self::$platform(Box::new(<$host>::start(options, data).await?)))
                    }),)*
                    #[allow(unreachable_patterns, reason = "reached when a platform's feature is off")]
                    _ => Box::pin(async move {
                        anyhow::bail!("isotherm-host was built without {platform}: run `cargo xtask build`")
                    }),
                }
            }

            fn url(&self) -> String {
                match *self { $(#[cfg(feature = $feature)] Self::$platform(ref host) => host.url(),)* }
            }

            fn runtime(&self) -> Runtime {
                match *self { $(#[cfg(feature = $feature)] Self::$platform(ref host) => host.runtime(),)* }
            }

            fn cold<'a>(&'a self, request: &'a ColdRequest) -> Compiled<'a, ColdSample> {
                match *self {
                    $(#[cfg(feature = $feature)] Self::$platform(ref host) => Box::pin(host.cold(request)),)*
                }
            }

            fn usage(&self) -> Usage {
                match *self { $(#[cfg(feature = $feature)] Self::$platform(ref host) => host.usage(),)* }
            }

            fn meters<'a>(&'a self, data: &'a Path) -> Compiled<'a, Meters> {
                match *self {
                    $(#[cfg(feature = $feature)] Self::$platform(ref host) => Box::pin(host.meters(data)),)*
                }
            }

            fn stop(self) -> Compiled<'static, ()> {
                match self { $(#[cfg(feature = $feature)] Self::$platform(host) => Box::pin(host.stop()),)* }
            }
        }
    };
}

// To add a platform: add its module to lib.rs, its feature to Cargo.toml, and a line here.
platforms! {
    Lambda, "lambda", crate::lambda::LambdaHost;
    Native, "native", crate::native::NativeHost;
    Spin, "spin", crate::spin::SpinHost;
    Workers, "workers", crate::workers::WorkersHost;
}

/// A platform that is running on this machine and answers HTTP.
pub struct Host {
    running: Running,
    data: Data,
}

impl Host {
    /// Starts a platform and returns once it answers. A failure leaves nothing behind.
    ///
    /// # Errors
    /// Fails if the artifact is missing or does not start, with what it printed.
    pub async fn start(platform: Platform, options: &Options) -> Result<Self> {
        anyhow::ensure!(
            options.artifact.is_dir(),
            "no artifact of {platform} in {}: run `cargo xtask build`",
            options.artifact.display()
        );
        anyhow::ensure!(options.cluster.is_none() || platform == Platform::Workers, "only Workers form a cluster");
        let data = Data::open(options.data.as_deref())?;
        let running =
            Running::start(platform, options, data.path()).await.with_context(|| format!("cannot start {platform}"))?;
        Ok(Self { running, data })
    }

    /// The address at which the platform answers, such as `http://127.0.0.1:8080`.
    pub fn url(&self) -> String {
        self.running.url()
    }

    /// What the artifact runs on.
    pub fn runtime(&self) -> Runtime {
        self.running.runtime()
    }

    /// Adds an instance to a cluster of Workers.
    ///
    /// # Errors
    /// Fails on every other platform, and if the host is no cluster.
    pub async fn add_instance(&self) -> Result<()> {
        match &self.running {
            #[cfg(feature = "workers")]
            Running::Workers(host) => host.add_instance().await,
            #[allow(unreachable_patterns, reason = "reached unless workers is the only platform")]
            _ => anyhow::bail!("only Workers form a cluster"),
        }
    }

    /// Forces one cold start and sends `request` to the new instance. Other instances are not disturbed.
    ///
    /// # Errors
    /// Fails if the platform cannot start an instance, or if that one does not answer.
    pub async fn cold(&self, request: &ColdRequest) -> Result<ColdSample> {
        self.running.cold(request).await
    }

    /// What the runtime's processes used so far.
    pub fn usage(&self) -> Usage {
        self.running.usage()
    }

    /// The billed operations of the platform's services so far.
    ///
    /// # Errors
    /// Fails if the services' counters cannot be read.
    pub async fn meters(&self) -> Result<Meters> {
        self.running.meters(self.data.path()).await
    }

    /// Stops the platform: answers requests in flight, ends the processes and removes temporary data.
    ///
    /// # Errors
    /// Fails if a process does not end in time.
    pub async fn stop(self) -> Result<()> {
        let stopped = self.running.stop().await;
        self.data.close()?;
        stopped
    }
}

/// Where a host keeps its data.
enum Data {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Data {
    fn open(kept: Option<&Path>) -> Result<Self> {
        match kept {
            Some(path) => {
                std::fs::create_dir_all(path)
                    .with_context(|| format!("cannot make the data folder {}", path.display()))?;
                // The path is absolute because some runtimes start in a folder of their own.
                let path =
                    path.canonicalize().with_context(|| format!("cannot use the data folder {}", path.display()))?;
                Ok(Self::Kept(path))
            }
            None => {
                let folder = tempfile::Builder::new().prefix("isotherm-").tempdir();
                Ok(Self::Temporary(folder.context("cannot make a temporary folder for data")?))
            }
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }

    fn close(self) -> Result<()> {
        match self {
            Self::Kept(_) => Ok(()),
            Self::Temporary(folder) => folder.close().context("cannot remove the temporary data"),
        }
    }
}
