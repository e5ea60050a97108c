//! Workers of one kind: a task for each table of the configuration, for as long as that says the same.

use anyhow::{Error, Result, anyhow};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

/// Tasks that do what a `Config` says and give an `Output` when they are ended; `Handle` is what there is of each for others.
pub(crate) struct WorkerSet<Config, Handle, Output> {
    /// What they are, for the error when one ends by itself.
    kind: &'static str,
    workers: Vec<Worker<Config, Handle>>,
    tasks: JoinSet<Output>,
    /// Ends all of them.
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

    /// What there is of each, in the order of the configuration.
    pub(crate) fn handles(&self) -> impl Iterator<Item = &Handle> {
        self.workers.iter().map(|worker| &worker.handle)
    }

    /// Starts one more: `run` until it is told to end.
    pub(crate) fn start<Run>(&mut self, config: Config, handle: Handle, run: impl FnOnce(CancellationToken) -> Run)
    where
        Run: Future<Output = Output> + Send + 'static,
    {
        let stop = self.shutdown.child_token();
        let id = self.tasks.spawn(run(stop.clone())).id();
        self.workers.push(Worker { config, handle, id, stop });
    }

    /// Ends those whose table is none of these, and waits for them; gives the tables that nobody works for yet, and what
    /// there was of those that ended.
    ///
    /// # Errors
    /// When one panicked, or another one ended by itself.
    pub(crate) async fn keep(&mut self, configs: &[Config]) -> Result<Changes<Config, Handle, Output>>
    where
        Config: Clone,
    {
        let mut new = configs.to_vec();
        let mut stays = |worker: &Worker<Config, Handle>| {
            let place = new.iter().position(|config| *config == worker.config);
            place.map(|place| new.remove(place)).is_some()
        };
        let (kept, mut leaving): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.workers).into_iter().partition(|worker| stays(worker));
        self.workers = kept;
        for worker in &leaving {
            worker.stop.cancel();
        }
        let mut ended = Vec::new();
        while !leaving.is_empty() {
            let (id, output) = self.tasks.join_next_with_id().await.expect("each of them has its task")?;
            let Some(place) = leaving.iter().position(|worker| worker.id == id) else {
                if self.shutdown.is_cancelled() {
                    continue;
                }
                return Err(self.ended_by_itself());
            };
            let Worker { config, handle, .. } = leaving.swap_remove(place);
            ended.push(Ended { config, handle, output });
        }
        Ok(Changes { new, ended })
    }

    /// Ends all of them; gives what they gave, but those that panicked.
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

    /// Puts them into the order of the configuration.
    pub(crate) fn arrange(&mut self, configs: &[Config]) {
        self.workers.sort_by_key(|worker| configs.iter().position(|config| *config == worker.config));
    }

    /// Waits until one ends that nobody has ended; gives what it gave, and what is to be said of that.
    pub(crate) async fn ended(&mut self) -> (Option<Output>, Error) {
        match self.tasks.join_next().await {
            Some(Ok(output)) => (Some(output), self.ended_by_itself()),
            Some(Err(error)) => (None, anyhow!("a {}'s task ended: {error}", self.kind)),
            None => std::future::pending().await,
        }
    }

    fn ended_by_itself(&self) -> Error {
        anyhow!("a {}'s task ended by itself", self.kind)
    }
}

/// What came of a change.
pub(crate) struct Changes<Config, Handle, Output> {
    /// Tables that nobody works for yet.
    pub(crate) new: Vec<Config>,
    /// Those that ended.
    pub(crate) ended: Vec<Ended<Config, Handle, Output>>,
}

/// One that ended, and what it gave.
pub(crate) struct Ended<Config, Handle, Output> {
    pub(crate) config: Config,
    pub(crate) handle: Handle,
    pub(crate) output: Output,
}
