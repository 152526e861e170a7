'use strict';
// The lines of a request that matter, whatever the request is: Node's, Fetch's, or plain headers.

const NAMES = new Set(['authorization', 'cookie', 'sec-fetch-dest', 'accept']);

function isFetchHeaders(headers) {
  return typeof headers.get === 'function' && typeof headers.has === 'function';
}

/** A request has `headers` that are an object; anything else is taken for the headers themselves. */
function headersOf(request) {
  if (request === null || typeof request !== 'object')
    throw new TypeError('request must be a request or an object of headers');
  const { headers } = request;
  if (headers !== undefined && headers !== null && typeof headers === 'object') return headers;
  if (headers !== undefined && typeof headers !== 'string') throw new TypeError('request.headers must be an object');
  return request;
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
    if (name.length === 13 && name.toLowerCase() === 'authorization') count++;
  }
  return count > 1;
}

function rawLines(rawHeaders) {
  const lines = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
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
    const get = (name) => headers.get(name) ?? undefined;
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
  if (!Array.isArray(headers)) return Object.entries(headers);
  for (const pair of headers) {
    if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== 'string') {
      throw new TypeError('request.headers as an array must hold pairs of name and value');
    }
  }
  return headers;
}

/** The pairs whose name is wanted, flat, names in lower case. */
function flatLines(headers, names) {
  const lines = [];
  if (isFetchHeaders(headers)) {
    for (const name of names) if (headers.has(name)) lines.push(name, headers.get(name));
    return lines;
  }
  for (const [written, value] of pairsOf(headers)) {
    const name = written.toLowerCase();
    if (!names.has(name)) continue;
    for (const item of Array.isArray(value) ? value : [value]) {
      const text = line(item, name);
      if (text !== undefined) lines.push(name, text);
    }
  }
  return lines;
}

function plainLines(headers, method) {
  return [undefined, undefined, method, undefined, undefined, flatLines(headers, NAMES)];
}

module.exports = { linesOf, headersOf, flatLines, isFetchHeaders };
