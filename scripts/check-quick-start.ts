import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const root = resolve(import.meta.dirname, '..')
/** The lowest Node that the packages say they need. */
const floor = '22.13.0'
const quiet = ['--no-audit', '--no-fund']
/** Copied into the project; the first two are what the README shows. */
const sources = ['quick-start.ts', 'own-tool.ts', 'testing/try-installed.ts', 'testing/scenarios.ts']

interface LockedPackage {
  readonly version: string
}

async function step<T>(what: string, work: () => Promise<T>): Promise<T> {
  const started = performance.now()
  const result = await work()
  console.log(`ok     ${what} (${((performance.now() - started) / 1000).toFixed(1)} s)`)
  return result
}

/** Packs every package as it would be published. Returns the paths of the tarballs. */
async function pack(folder: string): Promise<string[]> {
  mkdirSync(folder)
  const packages = readdirSync(join(root, 'packages')).map((name) => join(root, 'packages', name))
  await Promise.all(packages.map((cwd) => run('npm', ['pack', '--pack-destination', folder], { cwd })))
  return readdirSync(folder).map((name) => join(folder, name))
}

/** What the README tells people to install beside the packages, at the versions that this repository has. */
function companions(): string[] {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as { packages: Record<string, LockedPackage> }
  const locked = (name: string): string => packages[`node_modules/${name}`]?.version ?? 'latest'
  return [`zod@${locked('zod')}`, `@types/node@${locked('@types/node')}`, `typescript@${locked('@typescript/native')}`]
}

const strict = {
  target: 'es2023',
  lib: ['es2023'],
  types: ['node'],
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  verbatimModuleSyntax: true,
  allowImportingTsExtensions: true,
  noEmit: true,
  skipLibCheck: false,
}
const resolutions = { nodenext: { module: 'nodenext' }, bundler: { module: 'esnext', moduleResolution: 'bundler' } }

async function checkTypes(project: string, name: string, options: object): Promise<void> {
  const config = `tsconfig.${name}.json`
  writeFileSync(join(project, config), JSON.stringify({ compilerOptions: { ...strict, ...options }, include: ['*.ts'] }))
  await run(join(project, 'node_modules/.bin/tsc'), ['--project', config], { cwd: project })
}

/** The programs of the README in the project, in a process of their own that no setting of this repository reaches. */
async function tryPrograms(project: string, node: string): Promise<void> {
  const { NODE_OPTIONS: _, BATON_DATA: __, ...env } = process.env
  await run(node, ['--experimental-strip-types', 'try-installed.ts'], { cwd: project, env })
}

const work = mkdtempSync(join(tmpdir(), 'baton-quick-start-'))
try {
  const project = join(work, 'project')
  const tarballs = await step('pack', () => pack(join(work, 'tarballs')))
  mkdirSync(project)
  for (const file of sources) cpSync(join(root, 'examples', file), join(project, file.replace(/^.*\//, '')))
  // A page of the guide: an event type of one's own has to merge into the types of the package as it is installed.
  for (const file of readdirSync(join(root, 'examples/guide'))) {
    if (file.endsWith('.ts') && !file.endsWith('.test.ts')) cpSync(join(root, 'examples/guide', file), join(project, file))
  }
  const manifest = { name: 'quick-start', private: true, type: 'module', scripts: { test: 'node --test' } }
  writeFileSync(join(project, 'package.json'), JSON.stringify(manifest, null, 2))
  writeFileSync(join(project, '.gitignore'), 'node_modules/\n')
  await step('npm install', () => run('npm', ['install', ...quiet, ...tarballs, ...companions()], { cwd: project }))
  for (const [name, options] of Object.entries(resolutions)) await step(`types, ${name}`, () => checkTypes(project, name, options))
  await step(`run on Node ${process.versions.node}`, () => tryPrograms(project, process.execPath))
  const oldest = `node-${process.platform}-${process.arch}`
  const place = join(work, 'oldest')
  mkdirSync(place)
  await step(`npm install ${oldest}@${floor}`, () => run('npm', ['install', ...quiet, '--prefix', place, `${oldest}@${floor}`]))
  await step(`run on Node ${floor}`, () => tryPrograms(project, join(place, 'node_modules', oldest, 'bin/node')))
} catch (error) {
  const { stdout = '', stderr = '', message } = error as Error & { stdout?: string; stderr?: string }
  console.error(`${message}\n${stdout}${stderr}`)
  process.exitCode = 1
} finally {
  rmSync(work, { recursive: true, force: true })
}
