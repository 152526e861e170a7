'use strict';
// Reads the headers of a request: Node's, Fetch's, or the headers alone.

const { isMap } = require('node:util/types');
const { isPlainObject } = require('./is-plain-object.js');

/** What the setting `csrf` needs of requests with an unsafe method. */
const ORIGIN_HEADERS = new Set(['host', ':authority', 'origin', 'sec-fetch-site']);
const HEADERS = new Set(['authorization', 'cookie', 'sec-fetch-dest', 'accept', ...ORIGIN_HEADERS]);
/** What the setting `handshake` needs of every request. */
const PAGE_HEADERS = new Set([
  ...ORIGIN_HEADERS,
  'referer',
  'user-agent',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
]);
const ALL_HEADERS = new Set([...HEADERS, ...PAGE_HEADERS]);
const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);
/** The library rejects a duplicate header, so a third value need not be copied. */
const MAX_VALUES = 2;

function isFetchHeaders(headers) {
  return typeof headers.get === 'function' && typeof headers.has === 'function' && !isMap(headers);
}

/** Any other object would have no readable header, and pass for a request without credentials. */
function checkHeaders(headers, subject) {
  if (isPlainObject(headers) || Array.isArray(headers) || isMap(headers) || isFetchHeaders(headers)) return headers;
  throw new TypeError(`${subject} a plain object, an array of pairs, a Map or Headers`);
}

/** Returns `request.headers` if that is an object, else the request itself. */
function getHeaders(request) {
  if (request === null || typeof request !== 'object')
    throw new TypeError('request must be a request or an object of headers');
  const { headers } = request;
  if (headers !== undefined && headers !== null && typeof headers === 'object')
    return checkHeaders(headers, 'request.headers must be');
  if (headers !== undefined && typeof headers !== 'string') throw new TypeError('request.headers must be an object');
  return checkHeaders(request, 'request must be a request, or headers:');
}

function checkValue(value, name) {
  if (value === undefined || value === null || typeof value === 'string') return value ?? undefined;
  throw new TypeError(`request.headers.${name} must be a string`);
}

/** Node drops all `Authorization` headers but the first. Two of them are a smuggling attempt. */
function hasDuplicateAuthorization(rawHeaders) {
  let count = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i];
    if (typeof name !== 'string') throw new TypeError('request.rawHeaders must contain names and values');
    if (name.length === 13 && name.toLowerCase() === 'authorization') count++;
  }
  return count > 1;
}

/** Returns [name, value, ...] of the named headers, also of those that Node drops or joins. */
function flattenRawHeaders(rawHeaders, names) {
  const pairs = [];
  const counts = new Map();
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    if (typeof rawHeaders[i] !== 'string') throw new TypeError('request.rawHeaders must contain names and values');
    const name = rawHeaders[i].toLowerCase();
    if (!names.has(name)) continue;
    const count = counts.get(name) ?? 0;
    if (count < MAX_VALUES) pairs.push(name, checkValue(rawHeaders[i + 1], name));
    counts.set(name, count + 1);
  }
  return pairs;
}

/** The host of a Fetch request without a `Host` header, from its URL. */
function hostOf(request) {
  return typeof request.url === 'string' && URL.canParse(request.url) ? new URL(request.url).host : undefined;
}

function fetchHeaders(request, headers, names) {
  const pairs = flattenHeaders(headers, names);
  const host = headers.has('host') ? undefined : hostOf(request);
  return host === undefined || host === '' ? pairs : [...pairs, 'host', host];
}

/**
 * Returns `{scheme, target}` of Node's or Fetch's request: how the browser addressed it, as far as this process knows. `given`
 * overrides both.
 */
function pageOf(request, given) {
  let { scheme, target } = given ?? {};
  const url = typeof request.url === 'string' ? request.url : undefined;
  // Node's own request has the target itself: an absolute one is left as it is, and refused.
  if (url !== undefined && !request.socket && !url.startsWith('/') && URL.canParse(url)) {
    const parsed = new URL(url);
    scheme ??= parsed.protocol.slice(0, -1);
    target ??= parsed.pathname + parsed.search;
  }
  if (request.socket) scheme ??= request.socket.encrypted === true ? 'https' : 'http';
  target ??= typeof request.originalUrl === 'string' ? request.originalUrl : url;
  return { scheme: checkValue(scheme, 'scheme'), target: checkValue(target, 'target') };
}

/** Returns the addon's arguments for a client with `handshake` on: the same, then scheme and target. */
function parsePage(request, given) {
  const parsed = parseHeaders(request, PAGE_HEADERS);
  const { scheme, target } = pageOf(request, given);
  return [...parsed, scheme, target];
}

/**
 * Returns the addon's arguments: [authorization, cookie, method, secFetchDest, accept, others]. `always` names the headers that
 * are read for safe methods, too.
 */
function parseHeaders(request, always) {
  const headers = getHeaders(request);
  const isRequest = headers !== request;
  const method = isRequest && typeof request.method === 'string' ? request.method : undefined;
  if (isFetchHeaders(headers)) {
    const get = (name) => checkValue(headers.get(name), name);
    const [authorization, cookie] = [get('authorization'), get('cookie')];
    const names = always ?? (SAFE_METHODS.has(method) ? undefined : ORIGIN_HEADERS);
    const others = names === undefined ? undefined : fetchHeaders(request, headers, names);
    return [authorization, cookie, method, get('sec-fetch-dest'), get('accept'), others];
  }
  const { rawHeaders } = request;
  // Only the names in Node's own requests are certain to be in lower case.
  if (!isRequest || !Array.isArray(rawHeaders)) return parseObject(headers, method, always);
  const authorization = headers.authorization;
  if (Array.isArray(headers.cookie) || Array.isArray(authorization)) return parseObject(headers, method, always);
  const hasDuplicate = typeof authorization === 'string' && hasDuplicateAuthorization(rawHeaders);
  const names = new Set(always ?? (SAFE_METHODS.has(method) ? [] : ORIGIN_HEADERS));
  if (hasDuplicate) names.add('authorization');
  const others = names.size > 0 ? flattenRawHeaders(rawHeaders, names) : undefined;
  return [
    hasDuplicate ? undefined : checkValue(authorization, 'authorization'),
    checkValue(headers.cookie, 'cookie'),
    method,
    checkValue(headers['sec-fetch-dest'], 'sec-fetch-dest'),
    checkValue(headers.accept, 'accept'),
    others,
  ];
}

function toPairs(headers) {
  if (!Array.isArray(headers) && !isMap(headers)) return Object.entries(headers);
  const pairs = [...headers];
  for (const pair of pairs) {
    if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== 'string') {
      throw new TypeError('request.headers as an array or a Map must contain pairs of name and value');
    }
  }
  return pairs;
}

/** Returns [name, value, ...] of the named headers, with names in lower case. The length is limited for any input. */
function flattenHeaders(headers, names) {
  if (isFetchHeaders(headers)) {
    // Fetch knows no pseudo-headers, and throws.
    const present = [...names].filter((name) => !name.startsWith(':') && headers.has(name));
    return present.flatMap((name) => [name, checkValue(headers.get(name), name)]);
  }
  const found = new Map();
  for (const [key, value] of toPairs(headers)) {
    const name = key.toLowerCase();
    if (!names.has(name)) continue;
    const values = found.get(name) ?? [];
    for (const item of Array.isArray(value) ? value : [value]) {
      const string = checkValue(item, name);
      if (string !== undefined && (name === 'cookie' || values.length < MAX_VALUES)) values.push(string);
    }
    found.set(name, values);
  }
  const flat = [];
  for (const [name, values] of found) {
    // HTTP/2 may split the Cookie header (RFC 9113, section 8.2.3).
    const joined = name === 'cookie' && values.length > 0 ? [values.join('; ')] : values;
    for (const value of joined) flat.push(name, value);
  }
  return flat;
}

function parseObject(headers, method, always) {
  const names = always === undefined ? HEADERS : ALL_HEADERS;
  return [undefined, undefined, method, undefined, undefined, flattenHeaders(headers, names)];
}

module.exports = { flattenHeaders, getHeaders, isFetchHeaders, parseHeaders, parsePage };
