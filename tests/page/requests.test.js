import assert from "node:assert/strict";
import { test } from "node:test";

import { splitMessage } from "../../src/receiver/web/page/live/frames.js";
import { latestRequest } from "../../src/receiver/web/page/shared/latest_request.js";

/** A request that the test answers. */
function controlled() {
  const sent = [], answers = [], errors = [];
  const send = (wanted) => new Promise((resolve, reject) => sent.push({ wanted, resolve, reject }));
  const request = latestRequest(
    send, (answer, wanted) => answers.push([answer, wanted]), (error, wanted) => errors.push([error.message, wanted]),
  );
  return { sent, answers, errors, request };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

test("of requests that wait only the latest is sent", async () => {
  const { sent, answers, request } = controlled();
  for (const wanted of [1, 2, 3]) request(wanted);
  assert.deepEqual(sent.map(({ wanted }) => wanted), [1]);
  sent[0].resolve("one");
  await settled();
  assert.deepEqual(sent.map(({ wanted }) => wanted), [1, 3]);
  sent[1].resolve("three");
  await settled();
  assert.deepEqual(answers, [["one", 1], ["three", 3]]);
  assert.equal(sent.length, 2);
});

test("a failed request does not block the next", async () => {
  const { sent, answers, errors, request } = controlled();
  request("a");
  request("b");
  sent[0].reject(new Error("gone"));
  await settled();
  sent[1].resolve("fine");
  await settled();
  assert.deepEqual(errors, [["gone", "a"]]);
  assert.deepEqual(answers, [["fine", "b"]]);
});

test("a request may be undefined or null", async () => {
  const { sent, request } = controlled();
  request(undefined);
  request(null);
  sent[0].resolve(0);
  await settled();
  assert.deepEqual(sent.map(({ wanted }) => wanted), [undefined, null]);
});

test("an answer's handler may request again", async () => {
  const sent = [];
  const request = latestRequest(async (wanted) => (sent.push(wanted), wanted), (answer) => {
    if (answer < 3) request(answer + 1);
  }, assert.fail);
  request(1);
  await settled();
  assert.deepEqual(sent, [1, 2, 3]);
});

test("a frame message is split into header and JPEG", async () => {
  const header = Buffer.from(JSON.stringify({ agent: "shed", camera: "Tür", seq: 7 }));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(header.length);
  const bytes = new Uint8Array(Buffer.concat([length, header, Buffer.from([0xff, 0xd8, 0xff, 0xd9])]));
  const message = splitMessage(bytes.buffer);
  assert.deepEqual(message.header, { agent: "shed", camera: "Tür", seq: 7 });
  assert.deepEqual([...new Uint8Array(await message.jpeg.arrayBuffer())], [0xff, 0xd8, 0xff, 0xd9]);
  assert.equal(message.jpeg.type, "image/jpeg");
});

test("a frame message without a JPEG has an empty one", () => {
  const bytes = new Uint8Array([0, 0, 0, 2, 0x7b, 0x7d]);
  assert.equal(splitMessage(bytes.buffer).jpeg.size, 0);
});
