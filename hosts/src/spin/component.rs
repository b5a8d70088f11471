//! The component in wasmtime: compiles it once and links the imports of its instances.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use wasmtime::component::{Component, HasData, Linker, ResourceTable};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::p2::bindings::{cli, random};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView as _};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::p3::bindings::{Service, ServicePre};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

/// wasmtime's version in Cargo.lock; wasmtime itself does not report it.
pub(super) const WASMTIME: &str = "48.0.8";

/// The limit of instances at the same time, as in Spin. A request that needs one more fails.
const INSTANCES: u32 = 1000;
/// The core modules in one component, each instantiated on its own. Rust's components have four.
const CORE_INSTANCES: u32 = 8;
/// The memory that hosted Spin allows per instance.
const MEMORY_BYTES: usize = 128 << 20;

pub(super) mod interfaces {
    wasmtime::component::bindgen!({
        path: "src/spin/wit",
        world: "host",
        imports: {
            "spin:sqlite/sqlite.[method]connection.last-insert-rowid": async | trappable,
            "spin:sqlite/sqlite.[method]connection.last-insert-rowid-async": trappable,
            "spin:sqlite/sqlite.[method]connection.changes": async | trappable,
            "spin:sqlite/sqlite.[method]connection.changes-async": trappable,
            default: async | trappable,
        },
        with: { "spin:sqlite/sqlite.connection": crate::spin::sqlite::Connection },
    });
}

/// A compiled component whose imports are all linked.
pub(super) struct LinkedComponent {
    engine: Engine,
    service: ServicePre<State>,
    node: Arc<Node>,
    /// How long loading and compiling took. It happens once per node and is not part of a cold start.
    pub(super) compile: Duration,
}

/// What every instance sees of its node.
pub(super) struct Node {
    pub(super) database: PathBuf,
    pub(super) config: String,
}

/// The state of one instance.
pub(super) struct State {
    pub(super) table: ResourceTable,
    pub(super) node: Arc<Node>,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: NoOutgoingRequests,
}

impl LinkedComponent {
    /// Loads and compiles the component. It uses all cores, so don't call it on a thread that answers requests.
    pub(super) fn load(path: &Path, node: Node) -> Result<Self> {
        let started = Instant::now();
        let engine = engine().context("wasmtime cannot run here")?;
        let component = Component::from_file(&engine, path)
            .map_err(anyhow::Error::from)
            .with_context(|| format!("{} is no component", path.display()))?;
        let mut linker = Linker::new(&engine);
        link(&mut linker).context("the runtime's own interfaces clash")?;
        let service =
            linker.instantiate_pre(&component).and_then(ServicePre::new).map_err(anyhow::Error::from).with_context(
                || format!("{} is no service for wasi:http 0.3 that needs only what Spin offers", path.display()),
            )?;
        Ok(Self { engine, service, node: Arc::new(node), compile: started.elapsed() })
    }

    /// Makes a new instance and the store that it lives in.
    pub(super) async fn instantiate(&self) -> wasmtime::Result<(Store<State>, Service)> {
        let state = State {
            table: ResourceTable::new(),
            node: Arc::clone(&self.node),
            wasi: WasiCtxBuilder::new().stdout(std::io::stderr()).inherit_stderr().build(),
            http: WasiHttpCtx::new(),
            hooks: NoOutgoingRequests,
        };
        let mut store = Store::new(&self.engine, state);
        let service = self.service.instantiate_async(&mut store).await?;
        Ok((store, service))
    }
}

fn engine() -> Result<Engine> {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(INSTANCES)
        .total_core_instances(INSTANCES * CORE_INSTANCES)
        .total_memories(INSTANCES)
        .total_tables(INSTANCES * CORE_INSTANCES)
        .total_stacks(INSTANCES)
        .max_memory_size(MEMORY_BYTES);
    let mut config = Config::new();
    config.wasm_component_model_async(true).allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Ok(Engine::new(&config)?)
}

fn link(linker: &mut Linker<State>) -> Result<()> {
    // Rust's standard library for wasm32-wasip2 still imports WASI 0.2. The manifest grants no files and no sockets, so
    // their interfaces are left out: each interface adds code that is generated for this linker alone.
    wasmtime_wasi::p2::add_to_linker_proxy_interfaces_async(linker)?;
    cli::environment::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::exit::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    random::insecure::add_to_linker::<_, WasiRandom>(linker, State::random)?;
    random::insecure_seed::add_to_linker::<_, WasiRandom>(linker, State::random)?;
    wasmtime_wasi::p3::clocks::add_to_linker(linker)?;
    wasmtime_wasi_http::p3::add_to_linker(linker)?;
    interfaces::spin::sqlite::sqlite::add_to_linker::<_, Spin>(linker, |state| state)?;
    interfaces::spin::variables::variables::add_to_linker::<_, Spin>(linker, |state| state)?;
    Ok(())
}

/// Spin's interfaces work on the whole [`State`].
pub(super) struct Spin;

impl HasData for Spin {
    type Data<'a> = &'a mut State;
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.hooks }
    }
}

/// Refuses every outgoing request, as Spin does because the manifest allows no outbound hosts.
struct NoOutgoingRequests;

/// The remaining work of an outgoing request once it has been sent.
type Transmission = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for NoOutgoingRequests {
    fn send_request(
        &mut self,
        _request: hyper::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _transmission: Transmission,
    ) -> Box<dyn Future<Output = Result<(hyper::Response<WasiBody>, Transmission), Error>> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_that_is_shown_is_the_version_that_runs() {
        let lock = std::fs::read_to_string("../Cargo.lock").expect("Cargo.lock");
        let wasmtime =
            lock.split("[[package]]").find(|package| package.starts_with("\nname = \"wasmtime\"\n")).expect("wasmtime");
        assert!(wasmtime.contains(&format!("version = \"{}\"", super::WASMTIME)), "{wasmtime}");
    }
}
