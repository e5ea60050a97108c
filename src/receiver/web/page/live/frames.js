// @ts-check
/** @import { FrameHeader } from "../../types.js" */

// Takes a frame from the WebSocket to its tile.

import { isShown } from "../shared/views.js";
import { drawFrame, noteBrokenFrame, tileFor } from "./tiles.js";

// While another view is shown, one frame in this time is enough to know that the camera is live.
const HIDDEN_INTERVAL_MS = 500;

/** @param {ArrayBuffer} buffer @param {(key: string) => void} acknowledge */
export async function showFrame(buffer, acknowledge) {
  const at = performance.now();
  const { header, jpeg } = splitMessage(buffer);
  const tile = tileFor(header.agent, header.camera);
  try {
    const bitmap = await createImageBitmap(jpeg);
    drawFrame(tile, bitmap, header, at);
    bitmap.close();
  } catch {
    noteBrokenFrame(tile, at);
  } finally {
    // The receiver sends this camera's next frame only after the acknowledgement.
    if (isShown("now")) acknowledge(tile.key);
    else setTimeout(acknowledge, HIDDEN_INTERVAL_MS, tile.key);
  }
}

/**
 * Splits a message: the header's length in four bytes, the header, the JPEG.
 * @param {ArrayBuffer} buffer @returns {{ header: FrameHeader, jpeg: Blob }}
 */
export function splitMessage(buffer) {
  const start = 4 + new DataView(buffer).getUint32(0);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, start - 4)));
  return { header, jpeg: new Blob([new Uint8Array(buffer, start)], { type: "image/jpeg" }) };
}
