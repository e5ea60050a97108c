//! Workers of one kind: a task for each table of the configuration, for as long as that says the same.

use anyhow::{Error, Result, anyhow};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

/// Tasks that do what a `Table` says and give an `Output` when they are ended; `Hold` is what there is of each for others.
pub(crate) struct Crew<Table, Hold, Output> {
    /// What they are, for the error when one ends by itself.
    kind: &'static str,
    members: Vec<Member<Table, Hold>>,
    tasks: JoinSet<Output>,
    /// Ends all of them.
    shutdown: CancellationToken,
}

struct Member<Table, Hold> {
    table: Table,
    hold: Hold,
    id: Id,
    stop: CancellationToken,
}

impl<Table: PartialEq, Hold, Output: Send + 'static> Crew<Table, Hold, Output> {
    pub(crate) fn of(kind: &'static str, shutdown: CancellationToken) -> Self {
        Crew { kind, members: Vec::new(), tasks: JoinSet::new(), shutdown }
    }

    /// What there is of each, in the order of the configuration.
    pub(crate) fn holds(&self) -> impl Iterator<Item = &Hold> {
        self.members.iter().map(|member| &member.hold)
    }

    /// Starts one more: `run` until it is told to end.
    pub(crate) fn start<Run>(&mut self, table: Table, hold: Hold, run: impl FnOnce(CancellationToken) -> Run)
    where
        Run: Future<Output = Output> + Send + 'static,
    {
        let stop = self.shutdown.child_token();
        let id = self.tasks.spawn(run(stop.clone())).id();
        self.members.push(Member { table, hold, id, stop });
    }

    /// Ends those whose table is none of these, and waits for them; gives the tables that nobody works for yet, and what
    /// there was of those that ended.
    ///
    /// # Errors
    /// When one panicked, or another one ended by itself.
    pub(crate) async fn keep(&mut self, tables: &[Table]) -> Result<Kept<Table, Hold, Output>>
    where
        Table: Clone,
    {
        let mut new = tables.to_vec();
        let mut stays = |member: &Member<Table, Hold>| {
            let place = new.iter().position(|table| *table == member.table);
            place.map(|place| new.remove(place)).is_some()
        };
        let (kept, mut leaving): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.members).into_iter().partition(|member| stays(member));
        self.members = kept;
        for member in &leaving {
            member.stop.cancel();
        }
        let mut ended = Vec::new();
        while !leaving.is_empty() {
            let (id, output) = self.tasks.join_next_with_id().await.expect("each of them has its task")?;
            let Some(place) = leaving.iter().position(|member| member.id == id) else {
                if self.shutdown.is_cancelled() {
                    continue;
                }
                return Err(self.ended_by_itself());
            };
            let Member { table, hold, .. } = leaving.swap_remove(place);
            ended.push(Ended { table, hold, output });
        }
        Ok(Kept { new, ended })
    }

    /// Ends all of them; gives what they gave, but those that panicked.
    pub(crate) async fn end(&mut self) -> Vec<Output> {
        for member in &self.members {
            member.stop.cancel();
        }
        let mut outputs = Vec::new();
        while let Some(ended) = self.tasks.join_next().await {
            outputs.extend(ended.ok());
        }
        outputs
    }

    /// Puts them into the order of the configuration.
    pub(crate) fn arrange(&mut self, tables: &[Table]) {
        self.members.sort_by_key(|member| tables.iter().position(|table| *table == member.table));
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
pub(crate) struct Kept<Table, Hold, Output> {
    /// Tables that nobody works for yet.
    pub(crate) new: Vec<Table>,
    /// Those that ended.
    pub(crate) ended: Vec<Ended<Table, Hold, Output>>,
}

/// One that ended, and what it gave.
pub(crate) struct Ended<Table, Hold, Output> {
    pub(crate) table: Table,
    pub(crate) hold: Hold,
    pub(crate) output: Output,
}
