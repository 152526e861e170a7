'use strict';

/** Whether all that an object holds are properties of its own: `{…}` of whatever realm, or one without a prototype. */
function isPlain(value) {
  if (value === null || typeof value !== 'object') return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype || Object.getPrototypeOf(prototype) === null;
}

module.exports = { isPlain };
