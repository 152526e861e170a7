'use strict';

/** The rows that a user store returned last, by key: those of the most recent users. */
class RowCache {
  #rows = new Map();
  #capacity;

  constructor(capacity) {
    this.#capacity = capacity;
  }

  get(key) {
    const row = this.#rows.get(key);
    if (row !== undefined) this.set(key, row);
    return row ?? null;
  }

  set(key, row) {
    this.#rows.delete(key);
    this.#rows.set(key, row);
    if (this.#rows.size > this.#capacity) this.#rows.delete(this.#rows.keys().next().value);
  }

  delete(key) {
    this.#rows.delete(key);
  }

  clear() {
    this.#rows.clear();
  }
}

module.exports = { RowCache };
