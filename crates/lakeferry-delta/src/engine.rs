//! The kernel's engine, run on the threads of its callers.
//!
//! The kernel blocks. Every call into it is made on a blocking thread ([`blocking`]), and its
//! engine drives storage from that very thread: decoding costs no runtime worker and batches cross
//! no thread.

use std::{future::Future, num::NonZeroUsize, sync::Arc};

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use delta_kernel::{
    DeltaResult, Engine, EngineData, Error as KernelError, engine::arrow_data::ArrowEngineData,
    schema::SchemaRef,
};
use delta_kernel_default_engine::{DefaultEngineBuilder, executor::TaskExecutor};
use futures_util::future::BoxFuture;
use object_store::ObjectStore;
use tokio::runtime::{EnterGuard, Handle};

use crate::{
    error::{Error, Result},
    parquet::{Parquet, WithParquet},
};

/// Rows of a batch at most: large enough that work per batch is nothing, small enough that a few batches
/// are.
pub(crate) const BATCH_ROWS: NonZeroUsize = NonZeroUsize::new(8192).expect("not zero");
/// Log files that are fetched at once; the default of 1,000 would hold as many in memory.
const LOG_FILES_AHEAD: NonZeroUsize = NonZeroUsize::new(16).expect("not zero");

/// An engine over `store`. Call it, and all that it gives, on blocking threads only.
pub(crate) fn engine_over(store: Arc<dyn ObjectStore>, runtime: Handle) -> Arc<WithParquet> {
    let engine = DefaultEngineBuilder::new(store.clone())
        .with_task_executor(Arc::new(CallersThread(runtime.clone())))
        .with_batch_size(BATCH_ROWS)
        .with_buffer_size(LOG_FILES_AHEAD)
        .build();
    let parquet = Parquet {
        store,
        runtime,
        kernels: engine.parquet_handler(),
    };
    Arc::new(WithParquet {
        engine: Arc::new(engine),
        parquet: Arc::new(parquet),
    })
}

/// Runs `work`, which may block, where it does not hinder others.
pub(crate) async fn blocking<T: Send + 'static>(
    table: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|stopped| {
            Err(Error::Broken {
                table: table.to_owned(),
                what: "a reading thread stopped".to_owned(),
                source: Some(Box::new(stopped)),
            })
        })
}

/// The values of JSON `texts`, one a row.
pub(crate) fn parsed(
    engine: &dyn Engine,
    texts: Vec<String>,
    schema: SchemaRef,
) -> DeltaResult<Box<dyn EngineData>> {
    let texts: ArrayRef = Arc::new(StringArray::from(texts));
    let texts = RecordBatch::try_from_iter([("json", texts)])?;
    let texts = Box::new(ArrowEngineData::new(texts));
    engine.json_handler().parse_json(texts, schema)
}

struct CallersThread(Handle);

impl TaskExecutor for CallersThread {
    type Guard<'a> = EnterGuard<'a>;

    fn block_on<T>(&self, task: T) -> T::Output
    where
        T: Future + Send + 'static,
        T::Output: Send + 'static,
    {
        self.0.block_on(task)
    }

    fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.0.spawn(task);
    }

    fn spawn_blocking<T, R>(&self, task: T) -> BoxFuture<'_, DeltaResult<R>>
    where
        T: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        let task = self.0.spawn_blocking(task);
        Box::pin(async move {
            task.await
                .map_err(|e| KernelError::JoinFailure(e.to_string()))
        })
    }

    fn enter(&self) -> Self::Guard<'_> {
        self.0.enter()
    }
}
