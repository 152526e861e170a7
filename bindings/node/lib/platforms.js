'use strict';

/** The packages with addons, and where npm installs them. */
const PLATFORMS = {
  'clerk-auth-linux-x64-gnu': { os: ['linux'], cpu: ['x64'], libc: ['glibc'] },
  'clerk-auth-linux-arm64-gnu': { os: ['linux'], cpu: ['arm64'], libc: ['glibc'] },
};

/** Returns whether Node runs on musl, as on Alpine Linux. Slow: only for messages and packing. */
function isMusl() {
  if (process.platform !== 'linux') return false;
  const report = process.report?.getReport();
  return report !== undefined && report.header.glibcVersionRuntime === undefined;
}

/** Returns the name of the package for this platform; undefined if there is none. */
function platformPackage() {
  const name = `clerk-auth-${process.platform}-${process.arch}-gnu`;
  return Object.hasOwn(PLATFORMS, name) && !isMusl() ? name : undefined;
}

module.exports = { PLATFORMS, isMusl, platformPackage };
