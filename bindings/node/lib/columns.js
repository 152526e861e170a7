'use strict';
// The types that database drivers return for the columns of a user table.

/** A BIGINT or a time: a number, a bigint, a string of digits, a Date. Undefined for anything else. */
function toMilliseconds(value) {
  if (value === null) return null;
  if (value instanceof Date) value = value.getTime();
  if (typeof value === 'bigint') value = Number(value);
  if (typeof value === 'string' && /^-?[0-9]{1,16}$/.test(value)) value = Number(value);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** A BOOLEAN, TINYINT or BIT(1); null counts as false. Undefined for anything else. */
function toBoolean(value) {
  if (value instanceof Uint8Array && value.length === 1) value = value[0];
  switch (value) {
    case true:
    case 1:
    case 1n:
    case '1':
      return true;
    case false:
    case 0:
    case 0n:
    case '0':
    case null:
      return false;
    default:
      return undefined;
  }
}

module.exports = { toBoolean, toMilliseconds };
