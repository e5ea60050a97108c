//! Workers of one kind: one task for each table of the configuration, until that table changes.

use anyhow::{Error, Result, anyhow};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

/// A set of supervised tasks, one per configuration table. `Handle` is what others use of each, `Output` the task's
/// result.
pub(crate) struct WorkerSet<Config, Handle, Output> {
    /// Their name in errors.
    kind: &'static str,
    workers: Vec<Worker<Config, Handle>>,
    tasks: JoinSet<Output>,
    /// Stops all of them.
    shutdown: CancellationToken,
}

struct Worker<Config, Handle> {
    config: Config,
    handle: Handle,
    id: Id,
    stop: CancellationToken,
}

impl<Config: PartialEq, Handle, Output: Send + 'static> WorkerSet<Config, Handle, Output> {
    pub(crate) fn new(kind: &'static str, shutdown: CancellationToken) -> Self {
        WorkerSet { kind, workers: Vec::new(), tasks: JoinSet::new(), shutdown }
    }

    /// Returns the handles, in the order of the configuration.
    pub(crate) fn handles(&self) -> impl Iterator<Item = &Handle> {
        self.workers.iter().map(|worker| &worker.handle)
    }

    /// Starts a worker that runs until its token is cancelled.
    pub(crate) fn start<Run>(&mut self, config: Config, handle: Handle, run: impl FnOnce(CancellationToken) -> Run)
    where
        Run: Future<Output = Output> + Send + 'static,
    {
        let stop = self.shutdown.child_token();
        let id = self.tasks.spawn(run(stop.clone())).id();
        self.workers.push(Worker { config, handle, id, stop });
    }

    /// Stops and joins workers whose table is not in `configs`. Returns the tables without a worker, and the stopped
    /// workers.
    ///
    /// # Errors
    /// If a worker panicked, or another one stopped unexpectedly.
    pub(crate) async fn keep(&mut self, configs: &[Config]) -> Result<Changes<Config, Handle, Output>>
    where
        Config: Clone,
    {
        let mut new = configs.to_vec();
        let mut stays = |worker: &Worker<Config, Handle>| {
            let index = new.iter().position(|config| *config == worker.config);
            index.map(|index| new.remove(index)).is_some()
        };
        let (kept, mut leaving): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.workers).into_iter().partition(|worker| stays(worker));
        self.workers = kept;
        for worker in &leaving {
            worker.stop.cancel();
        }
        let mut ended = Vec::new();
        while !leaving.is_empty() {
            let (id, output) = self.tasks.join_next_with_id().await.expect("each worker has a task")?;
            let Some(index) = leaving.iter().position(|worker| worker.id == id) else {
                if self.shutdown.is_cancelled() {
                    continue;
                }
                return Err(self.unexpected_end());
            };
            let Worker { config, handle, .. } = leaving.swap_remove(index);
            ended.push(Ended { config, handle, output });
        }
        Ok(Changes { new, ended })
    }

    /// Stops all workers. Returns the outputs, except of those that panicked.
    pub(crate) async fn end(&mut self) -> Vec<Output> {
        for worker in &self.workers {
            worker.stop.cancel();
        }
        let mut outputs = Vec::new();
        while let Some(ended) = self.tasks.join_next().await {
            outputs.extend(ended.ok());
        }
        outputs
    }

    /// Sorts the workers in the order of the configuration.
    pub(crate) fn arrange(&mut self, configs: &[Config]) {
        self.workers.sort_by_key(|worker| configs.iter().position(|config| *config == worker.config));
    }

    /// Waits until a worker stops unexpectedly. Returns its output, and the error to report.
    pub(crate) async fn ended(&mut self) -> (Option<Output>, Error) {
        match self.tasks.join_next().await {
            Some(Ok(output)) => (Some(output), self.unexpected_end()),
            Some(Err(error)) => (None, anyhow!("a {} task failed: {error}", self.kind)),
            None => std::future::pending().await,
        }
    }

    fn unexpected_end(&self) -> Error {
        anyhow!("a {} task stopped unexpectedly", self.kind)
    }
}

/// The result of a change.
pub(crate) struct Changes<Config, Handle, Output> {
    /// Tables without a worker.
    pub(crate) new: Vec<Config>,
    /// Workers that stopped.
    pub(crate) ended: Vec<Ended<Config, Handle, Output>>,
}

/// A stopped worker and its output.
pub(crate) struct Ended<Config, Handle, Output> {
    pub(crate) config: Config,
    pub(crate) handle: Handle,
    pub(crate) output: Output,
}
