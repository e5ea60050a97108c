import assert from "node:assert/strict";
import { test } from "node:test";

import { identifierWords } from "../../src/receiver/web/page/shared/identifiers.js";

test("identifiers become words", () => {
  assert.equal(identifierWords("readings_on_disk"), "readings on disk");
  assert.equal(identifierWords("cut_line"), "cut line");
  assert.equal(identifierWords("not_utf8"), "not utf8");
});

test("other texts stay as they are", () => {
  const texts = ["readings on disk", "cut line", "silent", "", "no_such device", "/dev/tty_USB0", "_x", "x_", "a__b",
    "is 115200 the board's baud rate?", "Not_A_Key", "läuft_nicht"];
  for (const text of texts) assert.equal(identifierWords(text), text);
});
