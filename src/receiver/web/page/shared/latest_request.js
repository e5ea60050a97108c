// @ts-check
// Sends one request at a time. While it is in progress, only the latest of the others waits; the rest are skipped.

/**
 * Returns a function that makes a request.
 * @template Wanted, Answer
 * @param {(wanted: Wanted) => Promise<Answer>} send
 * @param {(answer: Answer, wanted: Wanted) => void} onAnswer
 * @param {(error: Error, wanted: Wanted) => void} onError
 * @returns {(wanted: Wanted) => void}
 */
export function latestRequest(send, onAnswer, onError) {
  let isBusy = false;
  /** @type {[Wanted] | null} */
  let next = null;
  /** @param {Wanted} wanted */
  async function run(wanted) {
    isBusy = true;
    try {
      onAnswer(await send(wanted), wanted);
    } catch (error) {
      onError(error instanceof Error ? error : new Error(String(error)), wanted);
    }
    isBusy = false;
    if (!next) return;
    const [newest] = next;
    next = null;
    run(newest);
  }
  return (wanted) => {
    if (isBusy) next = [wanted];
    else run(wanted);
  };
}
