'use strict';
// For the tests of applications: a Clerk instance on the loopback interface, whose tokens are real and signed with a key of
// this process. No request leaves the machine.

const crypto = require('node:crypto');
const http = require('node:http');
const { userStoreTests } = require('./store-tests.js');

const PARTY = 'https://app.test.example';
const LIFETIME_S = 60;
const PRIMARY = 'idn_1';

let keyPair;
function signingKey() {
  keyPair ??= crypto.generateKeyPairSync('rsa', { modulusLength: 2048 });
  return keyPair;
}

const base64url = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const randomId = (prefix) => prefix + crypto.randomBytes(12).toString('hex');

/** Packs permissions `org:feature:permission` into the claims of version 2: features, permissions, one mask per feature. */
function packPermissions(permissions, features) {
  const names = features.map((feature) => `o:${feature}`);
  const actions = [];
  const indexOf = (list, item) => (list.includes(item) ? list.indexOf(item) : list.push(item) - 1);
  const granted = permissions.map((permission) => {
    const [, feature, action] = /^(?:org:)?(.+):([^:]+)$/.exec(permission) ?? [];
    if (action === undefined)
      throw new TypeError(`a permission must have the form org:feature:permission: ${permission}`);
    return [indexOf(names, `o:${feature}`), indexOf(actions, action)];
  });
  const mask = (index) =>
    granted.filter(([feature]) => feature === index).reduce((sum, [, bit]) => sum | (1n << BigInt(bit)), 0n);
  const packed =
    actions.length === 0 ? {} : { per: actions.join(','), fpm: names.map((_, index) => mask(index)).join(',') };
  return { names, packed };
}

class TestClerk {
  /** The secret of webhooks. */
  webhookSecret = `whsec_${crypto.randomBytes(24).toString('base64')}`;
  #server;
  #kid = randomId('ins_');
  // Instances have the key in common.
  #issuer = `https://clerk.${randomId('')}.test.example`;
  #users = new Map();
  #ended = new Set();
  #requests = 0;
  #version = Date.now();

  /** Starts the instance's Backend API. */
  async start() {
    this.#server = http.createServer((req, res) => this.#respond(req, res));
    // A test may end without closing it.
    this.#server.unref();
    await new Promise((resolve, reject) => {
      this.#server.once('error', reject).listen(0, '127.0.0.1', resolve);
    });
    return this;
  }

  get url() {
    return `http://127.0.0.1:${this.#server.address().port}`;
  }

  /** How many requests clients have sent to it. */
  get requests() {
    return this.#requests;
  }

  /** The public key as PEM, for the setting `jwtKey`. */
  get jwtKey() {
    return signingKey().publicKey.export({ type: 'spki', format: 'pem' });
  }

  /** The options of a client that accepts the tokens of this instance, and of no other. */
  get options() {
    return {
      env: false,
      apiUrl: this.url,
      secretKey: 'sk_test_clerk_auth_testing',
      jwtKey: this.jwtKey,
      issuer: [this.#issuer],
      authorizedParties: [PARTY],
      webhookSecrets: [this.webhookSecret],
    };
  }

  /** Creates a user, or changes one. Returns it as Clerk's API does. */
  user({
    id = randomId('user_'),
    email,
    username,
    firstName,
    lastName,
    externalId,
    banned = false,
    verified = true,
  } = {}) {
    const addresses =
      email === undefined
        ? []
        : [{ id: PRIMARY, email_address: email, verification: { status: verified ? 'verified' : 'unverified' } }];
    const user = {
      object: 'user',
      id,
      username: username ?? null,
      first_name: firstName ?? null,
      last_name: lastName ?? null,
      external_id: externalId ?? null,
      primary_email_address_id: email === undefined ? null : PRIMARY,
      email_addresses: addresses,
      banned,
      // Each change is a newer version.
      updated_at: ++this.#version,
    };
    this.#users.set(id, user);
    return user;
  }

  /** Removes a user. */
  deleteUser(id) {
    this.#users.delete(id);
  }

  /** Ends a session: the API says so, for `sessionCheckTtlS`. */
  endSession(id) {
    this.#ended.add(id);
  }

  /** Returns a session token. A user who does not exist is created. */
  token(options = {}) {
    const {
      userId = randomId('user_'),
      sessionId = `sess_${userId.replace(/^user_/, '')}`,
      orgId,
      orgSlug,
      orgRole = 'org:member',
      orgPermissions = [],
      features = [],
      plan,
      factorVerificationAge = [0, -1],
      expiresInS = LIFETIME_S,
      claims = {},
    } = options;
    if (!this.#users.has(userId)) this.user({ id: userId });
    const now = Math.floor(Date.now() / 1000);
    const issued = Math.min(now, now + expiresInS - LIFETIME_S);
    const { names, packed } = packPermissions(
      orgId === undefined ? [] : orgPermissions,
      orgId === undefined ? [] : features,
    );
    const organization = { id: orgId, slg: orgSlug, rol: orgRole.replace(/^org:/, ''), ...packed };
    return this.sign({
      azp: PARTY,
      exp: now + expiresInS,
      fva: factorVerificationAge,
      iat: issued,
      iss: this.#issuer,
      jti: randomId(''),
      nbf: issued - 10,
      ...(orgId === undefined ? {} : { o: organization }),
      fea: (orgId === undefined ? features.map((feature) => `u:${feature}`) : names).join(','),
      pla: plan === undefined ? '' : `${orgId === undefined ? 'u' : 'o'}:${plan}`,
      sid: sessionId,
      sts: 'active',
      sub: userId,
      v: 2,
      ...claims,
    });
  }

  /** Returns a token with exactly these claims. */
  sign(claims, header = {}) {
    const signed = `${base64url({ alg: 'RS256', kid: this.#kid, typ: 'JWT', ...header })}.${base64url(claims)}`;
    return `${signed}.${crypto.sign('RSA-SHA256', Buffer.from(signed), signingKey().privateKey).toString('base64url')}`;
  }

  /** Returns the headers of a request with a new session token. */
  headers(options) {
    return { authorization: `Bearer ${this.token(options)}` };
  }

  /** Returns a signed webhook, `{ headers, body }`. */
  webhook(type, data) {
    const body = JSON.stringify({ type, object: 'event', timestamp: Date.now(), data });
    const id = randomId('msg_');
    const timestamp = String(Math.floor(Date.now() / 1000));
    const key = Buffer.from(this.webhookSecret.slice('whsec_'.length), 'base64');
    const signature = crypto.createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64');
    const headers = {
      'content-type': 'application/json',
      'svix-id': id,
      'svix-timestamp': timestamp,
      'svix-signature': `v1,${signature}`,
    };
    return { headers, body };
  }

  #respond(req, res) {
    this.#requests++;
    const path = new URL(req.url, this.url).pathname;
    const [, collection, id] = /^\/v1\/(users|sessions)\/([A-Za-z0-9_-]+)$/.exec(path) ?? [];
    if (path === '/v1/jwks') {
      const jwk = signingKey().publicKey.export({ format: 'jwk' });
      return send(res, 200, { keys: [{ ...jwk, use: 'sig', alg: 'RS256', kid: this.#kid }] });
    }
    if (collection === 'users' && this.#users.has(id)) return send(res, 200, this.#users.get(id));
    if (collection === 'sessions') {
      return send(res, 200, { object: 'session', id, status: this.#ended.has(id) ? 'ended' : 'active' });
    }
    send(res, 404, { errors: [{ code: 'resource_not_found', message: 'not found' }] });
  }

  /** Stops the Backend API. */
  async close() {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

if (Symbol.asyncDispose) {
  Object.defineProperty(TestClerk.prototype, Symbol.asyncDispose, {
    value() {
      return this.close();
    },
  });
}

function send(res, status, body) {
  res.writeHead(status, { 'Content-Type': 'application/json' });
  res.end(JSON.stringify(body));
}

/** Starts a Clerk instance for tests. */
const startTestClerk = () => new TestClerk().start();

exports.startTestClerk = startTestClerk;
exports.userStoreTests = userStoreTests;
