//! Where the configuration comes from: a file, or the environment.

use std::env::VarError;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use isotherm_core::Service;

use crate::log;

/// The variable that holds the configuration if no file does.
const TEXT: &str = "ISOTHERM_CONFIG";
/// Pause before a file that could not be read is read again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The configured service. Neither a file nor the variable has to be there.
pub struct Configuration {
    file: Option<PathBuf>,
    kept: OnceLock<Service>,
    /// Stands in while the file can't be read, and says the reason of the first failure.
    unread: OnceLock<Service>,
    tried_at: Mutex<Option<Instant>>,
}

impl Configuration {
    /// The configuration in this file, or else in the environment.
    pub fn new(file: Option<PathBuf>) -> Self {
        Self { file, kept: OnceLock::new(), unread: OnceLock::new(), tried_at: Mutex::default() }
    }

    /// The service. A file that can't be read, or isn't there, is tried again, until something could be read. That is
    /// kept for the life of the process.
    pub fn service(&self) -> &Service {
        if let Some(service) = self.kept.get() {
            return service;
        }
        let mut tried_at = self.tried_at.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(unread) = self.unread.get().filter(|_| tried_at.is_some_and(|at| at.elapsed() < AGAIN_AFTER)) {
            return unread;
        }
        *tried_at = Some(Instant::now());
        let (service, kept) = match &self.file {
            Some(file) => self.of_file(file),
            None => (of_environment(), &self.kept),
        };
        let is_told = self.unread.get().is_some_and(|told| told.notice() == service.notice());
        if let Some(notice) = service.notice().filter(|_| !is_told) {
            log::line(notice);
        }
        kept.get_or_init(|| service)
    }

    /// The service that the file configures, and where it is kept.
    fn of_file(&self, file: &Path) -> (Service, &OnceLock<Service>) {
        match std::fs::read(file) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => (configured(Some(&text)), &self.kept),
                Err(_other) => (Service::closed(format_args!("{} is not UTF-8", file.display())), &self.kept),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {
                (Service::closed(format_args!("there is no file {}", file.display())), &self.unread)
            }
            Err(error) => (Service::unread(format_args!("cannot read {}: {error}", file.display())), &self.unread),
        }
    }
}

fn of_environment() -> Service {
    match std::env::var(TEXT) {
        Err(VarError::NotUnicode(_)) => Service::closed(format_args!("{TEXT} is not UTF-8")),
        text => configured(text.ok().as_deref()),
    }
}

/// The service that this text configures, with its secrets out of the environment.
fn configured(text: Option<&str>) -> Service {
    Service::from_text(text).with_secrets(|variable| std::env::var(variable).ok())
}
