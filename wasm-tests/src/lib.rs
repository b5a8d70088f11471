//! The shared vectors (`tests/vectors`) inside wasm. All code is in `tests/`: `cargo xtask test --only wasm`.
//!
//! The module is `runner/`: core and a reader of vectors, compiled to wasm32-unknown-unknown. It runs in wasmtime and
//! in Node.js. Its output is compared byte by byte with the same code compiled for this machine, and with the pinned
//! answers.
