'use strict';
// The lines of a request that matter, whatever the request is: Node's, Fetch's, or plain headers.

const { isMap } = require('node:util/types');
const { isPlain } = require('./plain.js');

const NAMES = new Set(['authorization', 'cookie', 'sec-fetch-dest', 'accept']);
/** What may be there once is refused when it is there twice: no more need be told. */
const ENOUGH = 2;

function isFetchHeaders(headers) {
  return typeof headers.get === 'function' && typeof headers.has === 'function' && !isMap(headers);
}

/** Anything else would have no header to show, and pass for a caller without credentials. */
function check(headers, what) {
  if (isPlain(headers) || Array.isArray(headers) || isMap(headers) || isFetchHeaders(headers)) return headers;
  throw new TypeError(`${what} a plain object, an array of pairs, a Map or Headers`);
}

/** A request has `headers` that are an object; anything else is taken for the headers themselves. */
function headersOf(request) {
  if (request === null || typeof request !== 'object')
    throw new TypeError('request must be a request or an object of headers');
  const { headers } = request;
  if (headers !== undefined && headers !== null && typeof headers === 'object')
    return check(headers, 'request.headers must be');
  if (headers !== undefined && typeof headers !== 'string') throw new TypeError('request.headers must be an object');
  return check(request, 'request must be a request, or headers:');
}

function line(value, name) {
  if (value === undefined || value === null || typeof value === 'string') return value ?? undefined;
  throw new TypeError(`request.headers.${name} must be a string`);
}

/** How many lines of `Authorization` came in: Node drops all but the first, and two are a smuggling attempt. */
function isRepeated(rawHeaders) {
  let count = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i];
    if (typeof name !== 'string') throw new TypeError('request.rawHeaders must hold names and values');
    if (name.length === 13 && name.toLowerCase() === 'authorization') count++;
  }
  return count > 1;
}

function rawLines(rawHeaders) {
  const lines = [];
  for (let i = 0; i + 1 < rawHeaders.length && lines.length < 2 * ENOUGH; i += 2) {
    if (rawHeaders[i].toLowerCase() === 'authorization')
      lines.push('authorization', line(rawHeaders[i + 1], 'authorization'));
  }
  return lines;
}

/** [authorization, cookie, method, sec-fetch-dest, accept, others] */
function linesOf(request) {
  const headers = headersOf(request);
  const isWhole = headers !== request;
  const method = isWhole && typeof request.method === 'string' ? request.method : undefined;
  if (isFetchHeaders(headers)) {
    const get = (name) => line(headers.get(name), name);
    return [get('authorization'), get('cookie'), method, get('sec-fetch-dest'), get('accept'), undefined];
  }
  const { rawHeaders } = request;
  // Only Node's own requests have their names in lower case for certain.
  if (!isWhole || !Array.isArray(rawHeaders)) return plainLines(headers, method);
  const authorization = headers.authorization;
  if (Array.isArray(headers.cookie) || Array.isArray(authorization)) return plainLines(headers, method);
  const isRequestRepeated = typeof authorization === 'string' && isRepeated(rawHeaders);
  return [
    isRequestRepeated ? undefined : line(authorization, 'authorization'),
    line(headers.cookie, 'cookie'),
    method,
    line(headers['sec-fetch-dest'], 'sec-fetch-dest'),
    line(headers.accept, 'accept'),
    isRequestRepeated ? rawLines(rawHeaders) : undefined,
  ];
}

function pairsOf(headers) {
  if (!Array.isArray(headers) && !isMap(headers)) return Object.entries(headers);
  const pairs = [...headers];
  for (const pair of pairs) {
    if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== 'string') {
      throw new TypeError('request.headers as an array or a Map must hold pairs of name and value');
    }
  }
  return pairs;
}

/** The pairs whose name is wanted, flat, names in lower case. However many there are, few come out. */
function flatLines(headers, names) {
  if (isFetchHeaders(headers)) {
    const wanted = [...names].filter((name) => headers.has(name));
    return wanted.flatMap((name) => [name, line(headers.get(name), name)]);
  }
  const found = new Map();
  for (const [written, value] of pairsOf(headers)) {
    const name = written.toLowerCase();
    if (!names.has(name)) continue;
    const texts = (Array.isArray(value) ? value : [value]).map((item) => line(item, name));
    const all = found.get(name) ?? [];
    for (const text of texts) if (text !== undefined && (name === 'cookie' || all.length < ENOUGH)) all.push(text);
    found.set(name, all);
  }
  const lines = [];
  for (const [name, texts] of found) {
    // As HTTP/2 has it.
    for (const text of name === 'cookie' && texts.length > 0 ? [texts.join('; ')] : texts) lines.push(name, text);
  }
  return lines;
}

function plainLines(headers, method) {
  return [undefined, undefined, method, undefined, undefined, flatLines(headers, NAMES)];
}

module.exports = { linesOf, headersOf, flatLines, isFetchHeaders };
