'use strict';

const { ClerkClient } = require('./client.js');
const { ClerkError, ConflictError } = require('./errors.js');
const native = require('./native.js');

exports.ClerkClient = ClerkClient;
exports.ClerkError = ClerkError;
exports.ConflictError = ConflictError;
/** The version of the library. */
exports.version = native.version;
