// A frame's way from the wire to its tile.

import { drawFrame, noteBroken, tileFor } from "./tiles.js";
import { isShown } from "./view.js";

// While another view is shown, frames come so seldom: enough to know that the camera is live.
const UNSEEN_MS = 500;

export async function showFrame(buffer, answer) {
  const at = performance.now();
  const { header, jpeg } = split(buffer);
  const tile = tileFor(header.agent, header.camera);
  try {
    const bitmap = await createImageBitmap(jpeg);
    drawFrame(tile, bitmap, header, at);
    bitmap.close();
  } catch {
    noteBroken(tile, at);
  } finally {
    // The receiver sends this camera's next frame only after the answer.
    if (isShown("now")) answer(tile.key);
    else setTimeout(answer, UNSEEN_MS, tile.key);
  }
}

/** The header's length in four bytes, the header, the JPEG. */
function split(buffer) {
  const start = 4 + new DataView(buffer).getUint32(0);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, start - 4)));
  return { header, jpeg: new Blob([new Uint8Array(buffer, start)], { type: "image/jpeg" }) };
}
