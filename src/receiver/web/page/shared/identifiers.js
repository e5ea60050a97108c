// @ts-check
// Causes and names of counters arrive as identifiers, such as readings_on_disk, and are shown as words.

const IDENTIFIER = /^[a-z0-9]+(_[a-z0-9]+)+$/;

/**
 * Returns an identifier's words. Any other text, such as a cause with spaces, is returned unchanged.
 * @param {string} identifier
 */
export const identifierWords = (identifier) =>
  IDENTIFIER.test(identifier) ? identifier.replaceAll("_", " ") : identifier;
