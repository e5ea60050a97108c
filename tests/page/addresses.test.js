import assert from "node:assert/strict";
import { test } from "node:test";

import {
  frameUrl, readingsExportUrl, recordedFrameUrl, videoExportUrl,
} from "../../src/receiver/web/page/shared/api.js";
import { parseAddress, viewAddress } from "../../src/receiver/web/page/shared/views.js";

test("a view's address names it and its parameters", () => {
  assert.equal(viewAddress("now"), "#now");
  assert.equal(viewAddress("history", { at: 5, width: 60, camera: null }), "#history?at=5&width=60");
  assert.equal(viewAddress("history", { camera: null }), "#history");
  assert.equal(viewAddress("history", { camera: "shed/door" }), "#history?camera=shed%2Fdoor");
  assert.equal(viewAddress("chart", { series: 0 }), "#chart?series=0");
});

test("parameters survive their address", () => {
  for (const camera of ["shed/door", "a&b=c", "50 % ?", "Garten/Tür", "+", "#"]) {
    assert.deepEqual(parseAddress(viewAddress("history", { camera })), { name: "history", parameters: { camera } });
  }
});

test("an address without a view or parameters is read", () => {
  assert.deepEqual(parseAddress(""), { name: "", parameters: {} });
  assert.deepEqual(parseAddress("#"), { name: "", parameters: {} });
  assert.deepEqual(parseAddress("#history?"), { name: "history", parameters: {} });
  assert.deepEqual(parseAddress("#history?at"), { name: "history", parameters: { at: "" } });
});

test("names are encoded in the API's addresses", () => {
  const camera = { agent: "Schuppen Süd", camera: "a/b?c#d" };
  assert.equal(frameUrl(camera), "/api/cameras/Schuppen%20S%C3%BCd/a%2Fb%3Fc%23d/frame.jpg");
  assert.equal(videoExportUrl({ agent: "shed", camera: "door" }, { from_us: 1, to_us: 2 }),
    "/api/recordings/shed/door/range.mkv?from_us=1&to_us=2");
});

test("times are whole microseconds", () => {
  assert.equal(recordedFrameUrl({ agent: "shed", camera: "door" }, { at_us: 1795284000123456.25, width: 160 }),
    "/api/recordings/shed/door/frame.jpg?at_us=1795284000123456&width=160");
  assert.equal(readingsExportUrl("csv", { series: "3", from_us: 0.6 }), "/api/readings.csv?series=3&from_us=1");
});
