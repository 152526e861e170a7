// Starts a clerk-sim for the test file, and creates clients that use it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { after } from 'node:test';
import { ClerkClient } from 'clerk-auth';

const program =
  process.env.CLERK_SIM ?? fileURLToPath(new URL('../../../../target/release/clerk-sim', import.meta.url));

/** Starts clerk-sim. It exits when its standard input is closed, at the latest with this process. */
export async function startSim(...args) {
  const child = spawn(program, ['serve', '--exit-with-stdin', ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout });
  const [line] = await Promise.race([
    once(lines, 'line'),
    once(child, 'error').then(([error]) => Promise.reject(error)),
    once(child, 'exit').then(([code]) => Promise.reject(new Error(`clerk-sim exited with ${code}`))),
  ]);
  lines.close();
  child.stdout.resume();
  return new Sim(JSON.parse(line), child);
}

export class Sim {
  #clients = [];

  constructor({ url, admin_url: adminUrl, https_url: httpsUrl }, child) {
    this.url = url;
    this.httpsUrl = httpsUrl;
    this.adminUrl = adminUrl;
    this.child = child;
    after(async () => {
      await Promise.all(this.#clients.map((client) => client.close()));
      child.stdin.end();
    });
  }

  async admin(method, path, body) {
    const response = await fetch(this.adminUrl + path, {
      method,
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    const text = await response.text();
    return text === '' ? undefined : JSON.parse(text);
  }

  /** Restores the initial state and clears the request counts. */
  async reset(state = {}) {
    await this.down(false);
    await this.admin('PUT', '/state', {
      secret_keys: ['*'],
      users: {},
      sessions: {},
      faults: [],
      jwks: ['k1'],
      ...state,
    });
    await this.admin('DELETE', '/counts');
  }

  user(id, user = {}) {
    return this.admin('PUT', `/users/${id}`, user);
  }

  down(down) {
    return this.admin('PUT', '/down', { down });
  }

  faults(...faults) {
    return this.admin('PUT', '/faults', faults);
  }

  async count(path) {
    const counts = await this.admin('GET', '/counts');
    return path === undefined ? counts.total : (counts.by_path[path] ?? 0);
  }

  async token(spec = { user: 'user_1' }) {
    return (await this.admin('POST', '/mint', spec)).token;
  }

  /** Returns the headers of a request with a new token. */
  async bearer(spec) {
    return { authorization: `Bearer ${await this.token(spec)}` };
  }

  settings(options = {}) {
    return { env: false, secretKey: 'sk_test_sim', apiUrl: this.url, ...options };
  }

  client(options) {
    const client = new ClerkClient(this.settings(options));
    this.#clients.push(client);
    return client;
  }
}

export const ADA = {
  username: 'ada',
  first_name: 'Ada',
  last_name: 'Lovelace',
  email_addresses: ['ada@example.com'],
  primary_email_address_id: 'idn_0001',
};
