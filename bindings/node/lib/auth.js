'use strict';
// Who is calling: reads from the library's result what is asked for, when it is asked for.

const { inspect } = require('node:util');
const { result } = require('./native.js');
const { ClerkError } = require('./errors.js');

const STATUSES = ['signed-in', 'signed-out', 'no-credentials', 'unavailable'];

// The numbers of the C header.
const TEXT = {
  subject: 0,
  userKey: 1,
  sessionId: 2,
  sessionStatus: 3,
  issuer: 4,
  authorizedParty: 5,
  orgId: 6,
  orgSlug: 7,
  orgRole: 8,
  orgPermissions: 9,
  features: 10,
  plans: 11,
  actor: 12,
  tokenId: 13,
  clientId: 14,
  scopes: 15,
  claims: 16,
  email: 17,
  username: 18,
  firstName: 19,
  lastName: 20,
  imageUrl: 21,
  externalId: 22,
};
const DIMENSION = { role: 1, permission: 2, feature: 3, plan: 4, reverification: 5 };

function list(text, separator) {
  return text === null ? null : text.split(separator).filter((item) => item !== '');
}

/** `strict`, or `{level, afterMinutes}` as Clerk writes it. */
function demand(value) {
  return typeof value === 'object' && value !== null ? `${value.level}:${value.afterMinutes}` : value;
}

class Auth {
  #result;
  #claims;
  #error;
  #row;

  constructor(handle, error = null, row = null) {
    this.#result = handle;
    this.#error = error;
    this.#row = row;
  }

  /** What stands behind `unavailable`, for whoever runs the server; null otherwise. */
  get error() {
    if (this.#error === null && this.status === 'unavailable') {
      const { reason, retryAfterMs } = this;
      this.#error = new ClerkError('CLERK_UNAVAILABLE', `nobody can tell who is calling: ${reason}`, {
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

  /** Milliseconds, or null if that is not known. */
  get retryAfterMs() {
    const ms = result.retryAfterMs(this.#result);
    return ms < 0 ? null : ms;
  }

  get handshakeRecommended() {
    return result.handshakeRecommended(this.#result) === 1;
  }

  get userId() {
    return result.userId(this.#result);
  }

  get subject() {
    return this.#text(TEXT.subject);
  }

  get sessionId() {
    return this.#text(TEXT.sessionId);
  }

  get sessionStatus() {
    return this.#text(TEXT.sessionStatus);
  }

  get actor() {
    return this.sessionClaims?.act ?? null;
  }

  get orgId() {
    return this.#text(TEXT.orgId);
  }

  get orgSlug() {
    return this.#text(TEXT.orgSlug);
  }

  get orgRole() {
    return this.#text(TEXT.orgRole);
  }

  get orgPermissions() {
    return list(this.#text(TEXT.orgPermissions), ',');
  }

  get tokenId() {
    return this.#text(TEXT.tokenId);
  }

  get clientId() {
    return this.#text(TEXT.clientId);
  }

  get scopes() {
    return list(this.#text(TEXT.scopes), ' ');
  }

  /** All claims, read once; null if nobody is signed in. */
  get sessionClaims() {
    if (this.#claims === undefined) {
      const json = this.#text(TEXT.claims);
      this.#claims = json === null ? null : JSON.parse(json);
    }
    return this.#claims;
  }

  /** Minutes since the first and the second factor were verified, -1 for never. */
  get factorVerificationAge() {
    return result.factorAges(this.#result);
  }

  /** When the token ends, in milliseconds since 1970; null if nobody is signed in. */
  get expiresAtMs() {
    return result.expiresAtMs(this.#result) || null;
  }

  /** The host's own row: its key, and the row itself if the store was asked for it in this very call. */
  get localUser() {
    const key = this.#text(TEXT.userKey);
    if (key === null) return null;
    return { key, row: this.#row !== null && String(this.#row.key) === key ? this.#row : null };
  }

  /** What is known of the Clerk user, in the user modes `profile` and `sync`. */
  get profile() {
    const profile = {};
    for (const name of ['email', 'username', 'firstName', 'lastName', 'imageUrl', 'externalId']) {
      profile[name] = this.#text(TEXT[name]);
    }
    return Object.values(profile).every((text) => text === null) ? null : profile;
  }

  /** `has({role, permission, feature, plan, reverification})`: all that is demanded. Nothing, or something unknown: false. */
  get has() {
    return (demands) => this.#has(demands);
  }

  /** `challenge(realm)`: the value of a `WWW-Authenticate` line, or null when neither 401 nor 403 fits. */
  get challenge() {
    return (realm) => this.#challenge(realm);
  }

  #has(demands) {
    if (demands === null || typeof demands !== 'object') throw new TypeError('has() takes an object of demands');
    const wanted = Object.entries(demands).filter(([, value]) => value !== undefined);
    return (
      wanted.length > 0 &&
      wanted.every(([name, value]) => {
        const text = name === 'reverification' ? demand(value) : value;
        return (
          Object.hasOwn(DIMENSION, name) && typeof text === 'string' && result.has(this.#result, DIMENSION[name], text)
        );
      })
    );
  }

  #challenge(realm = '') {
    if (typeof realm !== 'string') throw new TypeError('realm must be a string');
    return result.challenge(this.#result, realm);
  }

  #text(which) {
    return result.text(this.#result, which);
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

module.exports = { Auth, STATUSES, TEXT, DIMENSION };
