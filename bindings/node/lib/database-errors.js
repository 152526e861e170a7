'use strict';
// What the errors of database drivers mean, also when a query builder has wrapped them.

const CONFLICTS = new Set([
  'CLERK_CONFLICT',
  '23505', // PostgreSQL: unique_violation
  'ER_DUP_ENTRY',
  '1062',
  'SQLITE_CONSTRAINT_UNIQUE',
  'SQLITE_CONSTRAINT_PRIMARYKEY',
  '2067', // the same in node:sqlite
  '1555',
  'P2002', // Prisma
]);
const ABORTED = new Set([
  '40001', // SQLSTATE: serialization_failure, and MySQL's deadlock
  '40P01', // PostgreSQL: deadlock_detected
  'ER_LOCK_DEADLOCK',
  '1213',
  'P2034', // Prisma
  'ER_CHECKREAD', // MariaDB: the snapshot is too old
  '1020',
  'SQLITE_BUSY',
  'SQLITE_BUSY_SNAPSHOT',
  '5', // the same in node:sqlite
  '517',
]);
/** Where query builders have the error of the driver. */
const INNER = ['cause', 'driverError', 'original', 'originalError', 'parent', 'meta', 'driverAdapterError'];
const CODES = ['code', 'errno', 'errcode', 'sqlState', 'sqlstate', 'originalCode'];

function hasCode(error, codes, depth = 0) {
  if (typeof error !== 'object' || error === null || depth > 6) return false;
  if (CODES.some((name) => codes.has(String(error[name])))) return true;
  return INNER.some((name) => hasCode(error[name], codes, depth + 1));
}

/** Returns whether a unique column already has the value, or the row has changed. */
const isConflict = (error) => hasCode(error, CONFLICTS);

/** Returns whether the database has aborted a statement because of another transaction, so that it may succeed when repeated. */
const isAborted = (error) => hasCode(error, ABORTED);

/** Returns whether an error, or one within it, names a constraint. */
function namesConstraint(error, name, depth = 0) {
  if (typeof error !== 'object' || error === null || depth > 6) return false;
  const texts = [error.constraint, error.message, error.originalMessage];
  if (texts.some((text) => typeof text === 'string' && text.includes(name))) return true;
  return INNER.some((inner) => namesConstraint(error[inner], name, depth + 1));
}

module.exports = { isAborted, isConflict, namesConstraint };
