// Creates a client of the addon's class, without the package's.
import native from '../../lib/native.js';

export const OPTIONS = {
  settings: [['set', 'secret_key', 'sk_test_x']],
  columns: (1 << native.columns.length) - 1,
  lengths: [],
  hasStore: false,
  hasClock: false,
  nowMs: 0,
  timeoutMs: 5000,
};

export function bareClient(options = {}) {
  return new native.Client({ ...OPTIONS, ...options }, (error) => {
    if (error !== null) throw new Error(error.message);
  });
}
