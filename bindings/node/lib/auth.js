'use strict';
// The result of an authentication. Each property is read from the library's result on access.

const { inspect } = require('node:util');
const { ATTRIBUTE, CHECK, STATUSES } = require('./enums.js');
const { result } = require('./native.js');
const { ClerkError } = require('./errors.js');

function split(string, separator) {
  return string === null ? null : string.split(separator).filter((item) => item !== '');
}

/** Without members named `__proto__`: copied with `Object.assign`, they would become the copy's prototype. */
function parseClaims(json) {
  return JSON.parse(json, (name, value) => (name === '__proto__' ? undefined : value));
}

/** Returns the library's form of a name such as `strict`, or of `{level, afterMinutes}`. */
function formatReverification(value) {
  return typeof value === 'object' && value !== null ? `${value.level}:${value.afterMinutes}` : value;
}

class Auth {
  #result;
  #claims;
  #error;
  #store;
  #row;

  /** `row` is what this call read last; for a cached result, `store.cachedRow(key)` returns what an earlier call did. */
  constructor(handle, error = null, store = null, row = null) {
    this.#result = handle;
    this.#error = error;
    this.#store = store;
    this.#row = row;
  }

  /** The underlying error of an `unavailable` result, for the log; null for any other status. */
  get error() {
    if (this.#error === null && this.status === 'unavailable') {
      const { reason, retryAfterMs } = this;
      this.#error = new ClerkError('CLERK_UNAVAILABLE', `authentication unavailable: ${reason}`, {
        reason,
        retryAfterMs,
      });
    }
    return this.#error;
  }

  get status() {
    return STATUSES[result.status(this.#result)] ?? 'unavailable';
  }

  get isAuthenticated() {
    return result.status(this.#result) === 0;
  }

  get reason() {
    return result.reason(this.#result);
  }

  /** The reason in a form for clients: for 500 and 503 the category only, because the reason describes the server. */
  get publicReason() {
    return result.publicReason(this.#result);
  }

  get category() {
    return result.category(this.#result);
  }

  get source() {
    return result.source(this.#result);
  }

  get tokenType() {
    return result.tokenType(this.#result);
  }

  get httpStatus() {
    return result.httpStatus(this.#result);
  }

  /** Milliseconds until a retry may succeed; null if unknown. */
  get retryAfterMs() {
    const ms = result.retryAfterMs(this.#result);
    return ms < 0 ? null : ms;
  }

  get handshakeRecommended() {
    return result.handshakeRecommended(this.#result) === 1;
  }

  /** Whether the request showed no token, with `handshake` on also where no session cookie was read. */
  get isAnonymous() {
    return result.isAnonymous(this.#result) === 1;
  }

  /** The `Location` of a 307, with `handshake` on; null without a redirect. To be looked at before `status`. Do not log it. */
  get redirect() {
    return result.redirect(this.#result);
  }

  /** The values of `Set-Cookie` lines to add to the response, whatever the status is, each by itself. */
  get setCookies() {
    return result.setCookies(this.#result);
  }

  /** The value of a `Cache-Control` line to add to the response: `no-store` with a redirect or cookies; else null. */
  get cacheControl() {
    return result.cacheControl(this.#result);
  }

  get userId() {
    return result.userId(this.#result);
  }

  get subject() {
    return this.#get(ATTRIBUTE.subject);
  }

  get sessionId() {
    return this.#get(ATTRIBUTE.sessionId);
  }

  get sessionStatus() {
    return this.#get(ATTRIBUTE.sessionStatus);
  }

  get actor() {
    return this.tokenType === 'session_token' ? (this.sessionClaims?.act ?? null) : null;
  }

  get orgId() {
    return this.#get(ATTRIBUTE.orgId);
  }

  get orgSlug() {
    return this.#get(ATTRIBUTE.orgSlug);
  }

  get orgRole() {
    return this.#get(ATTRIBUTE.orgRole);
  }

  get orgPermissions() {
    return split(this.#get(ATTRIBUTE.orgPermissions), ',');
  }

  get tokenId() {
    return this.#get(ATTRIBUTE.tokenId);
  }

  /** The hash of the token, as events have it; null if the request carries no token. */
  get tokenHash() {
    return result.tokenHash(this.#result);
  }

  get tokenName() {
    return this.#get(ATTRIBUTE.tokenName);
  }

  get clientId() {
    return this.#get(ATTRIBUTE.clientId);
  }

  get scopes() {
    return split(this.#get(ATTRIBUTE.scopes), ' ');
  }

  /** All claims; null unless signed in. */
  get sessionClaims() {
    if (this.#claims === undefined) {
      const json = this.#get(ATTRIBUTE.claims);
      this.#claims = json === null ? null : parseClaims(json);
    }
    return this.#claims;
  }

  /** Minutes since the first and the second factor were verified; -1 for never. */
  get factorVerificationAge() {
    return result.factorVerificationAge(this.#result);
  }

  /** The token's expiry in milliseconds since 1970; null unless signed in. */
  get expiresAtMs() {
    return result.expiresAtMs(this.#result) || null;
  }

  /** The user's row: its key, and the row as it was last read. */
  get localUser() {
    const key = this.#get(ATTRIBUTE.userKey);
    if (key === null) return null;
    if (this.#row === null || String(this.#row.key) !== key) this.#row = this.#store?.cachedRow(key) ?? null;
    return { key, row: this.#row };
  }

  /** The Clerk user's profile, in the user modes `profile` and `sync`; null in mode `claims`. */
  get profile() {
    const profile = {};
    for (const name of ['email', 'username', 'firstName', 'lastName', 'imageUrl', 'externalId']) {
      profile[name] = this.#get(ATTRIBUTE[name]);
    }
    return Object.values(profile).every((value) => value === null) ? null : profile;
  }

  /**
   * `has({role, permission, feature, plan, reverification})`: true if all checks pass; false without a check and for an unknown
   * one.
   */
  get has() {
    return (params) => this.#has(params);
  }

  /** `challenge(realm)`: the value of a `WWW-Authenticate` header; null unless `httpStatus` is 401 or 403. */
  get challenge() {
    return (realm) => this.#challenge(realm);
  }

  #has(params) {
    if (params === null || typeof params !== 'object') throw new TypeError('has() must be called with an object');
    const checks = Object.entries(params).filter(([, value]) => value !== undefined);
    return checks.length > 0 && checks.every(([name, value]) => this.#passes(name, value));
  }

  #passes(name, value) {
    if (!Object.hasOwn(CHECK, name)) return false;
    const string = name === 'reverification' ? formatReverification(value) : value;
    return typeof string === 'string' && result.has(this.#result, CHECK[name], string);
  }

  #challenge(realm = '') {
    if (typeof realm !== 'string') throw new TypeError('realm must be a string');
    return result.challenge(this.#result, realm);
  }

  #get(attribute) {
    return result.get(this.#result, attribute);
  }

  toJSON() {
    const { status, reason, category, source, tokenType, userId, sessionId, orgId, orgSlug, orgRole } = this;
    return {
      status,
      reason,
      category,
      source,
      tokenType,
      userId,
      sessionId,
      orgId,
      orgSlug,
      orgRole,
      userKey: this.localUser?.key ?? null,
    };
  }

  [inspect.custom](depth, options) {
    return `Auth ${inspect(this.toJSON(), options)}`;
  }
}

module.exports = { Auth, parseClaims };
