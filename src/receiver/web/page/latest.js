// Of requests that overtake one another only the newest counts: one is under way, the newest waits, none queues.

/** ask(want) gives a promise; use(answer, want) has what came, refuse(error, want) what did not. */
export function latest(ask, use, refuse) {
  let busy = false, next = null;
  async function run(want) {
    busy = true;
    try {
      use(await ask(want), want);
    } catch (error) {
      refuse(error, want);
    }
    busy = false;
    if (!next) return;
    const [newest] = next;
    next = null;
    run(newest);
  }
  return (want) => {
    if (busy) next = [want];
    else run(want);
  };
}
