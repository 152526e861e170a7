'use strict';

/**
 * Returns whether a value is an object literal of any realm, or an object without a prototype: one whose data are all own
 * properties.
 */
function isPlainObject(value) {
  if (value === null || typeof value !== 'object') return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype || Object.getPrototypeOf(prototype) === null;
}

module.exports = { isPlainObject };
