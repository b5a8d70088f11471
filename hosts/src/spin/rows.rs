//! Streams the rows of a statement to the component while the statement runs.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::mpsc::Receiver;
use wasmtime::StoreContextMut;
use wasmtime::component::{Destination, StreamProducer, StreamResult};

use super::component::interfaces::spin::sqlite::sqlite::RowResult;

/// The component's end of a running statement.
pub(super) struct RowStream(pub(super) Receiver<RowResult>);

impl<D> StreamProducer<D> for RowStream {
    type Item = RowResult;
    type Buffer = Option<RowResult>;

    fn poll_produce(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        mut destination: Destination<'_, RowResult, Option<RowResult>>,
        is_cancelled: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if destination.remaining(store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let row = self.0.poll_recv(context);
        if row.is_pending() && is_cancelled {
            return Poll::Ready(Ok(StreamResult::Cancelled));
        }
        let Some(row) = ready!(row) else { return Poll::Ready(Ok(StreamResult::Dropped)) };
        destination.set_buffer(Some(row));
        Poll::Ready(Ok(StreamResult::Completed))
    }
}
