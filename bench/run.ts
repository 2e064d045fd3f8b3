import { fork, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import type { Contestant } from './contestant.ts'
import type { BenchRun } from './sections.ts'
import { sections } from './sections.ts'

const here = import.meta.dirname
/** Enough to see whether Baton became slower. */
const few = ['fetch-stream', 'ai', 'baton', 'baton-memory']
const everyone = ['fetch', 'fetch-stream', 'openai', 'ai', 'ai-stream', 'agents', 'mastra', 'pi', 'baton', 'baton-memory']

const { values: options } = parseArgs({
  options: {
    short: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true, default: [] },
    rounds: { type: 'string' },
    dir: { type: 'string' },
    patience: { type: 'string', default: '0' },
    help: { type: 'boolean', default: false },
  },
})

if (options.help) {
  console.log(`npm run bench -- [--short] [--only NAME]… [--rounds N] [--dir FOLDER]

  --short     fewer contestants, rounds and tasks, and the long sections left out: about a minute
  --only      a section (${sections.map(({ name }) => name).join(', ')})
              or a contestant (${everyone.join(', ')}; ai is always there, as the measure of the others)
  --rounds    how often everything is measured; the median is shown. Default 5, with --short 1
  --patience  seconds to wait, before each measurement, for a moment in which nothing else works on this machine. Default 0
  --dir       where logs are written: a folder on the disk that you want to know about. Default bench/results`)
  process.exit()
}

const unknown = options.only.find((name) => !everyone.includes(name) && !sections.some((section) => section.name === name))
if (unknown !== undefined) throw new Error(`--only ${unknown}: there is no such section or contestant; see --help`)

/** The others are not installed with the repository. */
function install(): void {
  const installed = join(here, 'node_modules/.package-lock.json')
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(join(here, 'package-lock.json')).mtimeMs) return
  console.log('Installing what Baton is compared with (bench/package-lock.json) …')
  const { status } = spawnSync('npm', ['ci', '--silent'], { cwd: here, stdio: 'inherit' })
  if (status !== 0) throw new Error('npm ci in bench/ failed')
}

function versionOf(name: string): string {
  const { version } = JSON.parse(readFileSync(join(here, 'node_modules', name, 'package.json'), 'utf8')) as { version: string }
  return `${name} ${version}`
}

async function startServer(): Promise<{ urls: BenchRun['urls']; stop(): void }> {
  const server = fork(join(here, 'server.ts'), { execArgv: ['--conditions=@baton-sdk/source'] })
  const urls = await new Promise<BenchRun['urls']>((done, fail) => {
    server.once('message', (message) => done(message as BenchRun['urls']))
    server.once('exit', (code) => fail(new Error(`the scripted server ended with ${code}`)))
  })
  return { urls, stop: () => server.disconnect() }
}

install()
const chosen = everyone.filter((name) => options.only.includes(name))
const contestants =
  chosen.length === 0 ? (options.short ? few : everyone) : everyone.filter((name) => name === 'ai' || chosen.includes(name))
const named = sections.filter(({ name }) => options.only.includes(name))
const wanted = named.length > 0 ? named : sections.filter(({ longOnly }) => !(options.short && longOnly))
const loaded = new Map<string, Contestant>()
for (const name of [...contestants, 'baton-inside'])
  loaded.set(name, ((await import(`./contestants/${name}.ts`)) as { default: Contestant }).default)

const results = resolve(options.dir ?? join(here, 'results'))
mkdirSync(results, { recursive: true })
const folder = mkdtempSync(join(results, 'run-'))
const server = await startServer()
const began = performance.now()
const terminal = process.stderr.isTTY
const bench: BenchRun = {
  short: options.short,
  rounds: Number(options.rounds ?? (options.short ? 1 : 5)),
  contestants,
  urls: server.urls,
  labels: new Map([...loaded].map(([name, { label }]) => [name, label])),
  folder,
  patienceMs: Number(options.patience) * 1000,
  progress: (text) => void (terminal && process.stderr.write(`\r\x1b[K${text}`)),
}

try {
  console.log(`Node ${process.versions.node}, ${availableParallelism()} processors, ${bench.rounds} rounds\n`)
  for (const name of contestants) {
    const { label, path, packages } = loaded.get(name) as Contestant
    const versions = packages.map(versionOf).join(', ')
    console.log(`- ${label}: ${path}${versions && ` (${versions})`}`)
  }
  for (const section of wanted) {
    const text = await section.run(bench)
    bench.progress('')
    console.log(`\n### ${section.title}\n\n${text}`)
  }
  console.log(`\n${((performance.now() - began) / 1000).toFixed(0)} s`)
} finally {
  server.stop()
  rmSync(folder, { recursive: true, force: true })
}
