// How long scanning 100 kB takes: node --conditions=@baton-sdk/source bench/scan-content.ts
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClassifier, scanContent } from '@baton-sdk/router'
import { plant } from '../packages/router/src/sensitivity/corpus/corpus.ts'
import { planted } from '../packages/router/src/sensitivity/corpus/planted.ts'

const goalMs = 5
const length = 100_000
const root = join(import.meta.dirname, '..')
const read = (...paths: readonly string[]): string => paths.map((path) => readFileSync(join(root, path), 'utf8')).join('\n')
const filled = (text: string): string => text.repeat(Math.ceil(length / text.length)).slice(0, length)

const sources = readdirSync(join(root, 'packages/core/src/tasks')).map((name) => `packages/core/src/tasks/${name}`)
const code = filled(read(...sources.filter((path) => path.endsWith('.ts'))))
const secrets = plant(planted, 1).map(({ text }) => text)
const texts: Record<string, string> = {
  'TypeScript sources': code,
  'a lock file': filled(read('package-lock.json')),
  Markdown: filled(read('README.md', 'AGENTS.md', 'CONTRIBUTING.md')),
  'one secret in 2 kB': filled(secrets.map((secret, at) => `${code.slice(at * 500, at * 500 + 2000)}\n${secret}`).join('\n')),
  'nothing but secrets': filled(secrets.join('')),
}

/** Processor time of this process, so that other work on the machine counts less. The median of many. */
async function milliseconds(run: () => unknown): Promise<number> {
  const times: number[] = []
  for (let round = 0; round < 60; round++) {
    const before = process.cpuUsage()
    for (let time = 0; time < 5; time++) await run()
    const { user, system } = process.cpuUsage(before)
    if (round >= 10) times.push((user + system) / 5_000)
  }
  return times.sort((a, b) => a - b)[times.length / 2] as number
}

const withSecretlint = createClassifier({ secretlint: true })
console.log('ms of processor time for 100,000 characters; the goal is under 5\n')
console.log('text                   findings   scanContent   classify with secretlint')
let [slowest, looked] = [0, 0]
for (const [name, text] of Object.entries(texts)) {
  const own = await milliseconds(() => scanContent(text))
  // Another text each time: a classifier remembers what it has seen.
  const both = await milliseconds(() => withSecretlint.classify(`${looked++}\n${text}`, ['file:a.txt']))
  slowest = Math.max(slowest, own)
  console.log(
    `${name.padEnd(22)} ${String(scanContent(text).length).padStart(8)}   ${own.toFixed(2).padStart(11)}   ${both.toFixed(2).padStart(24)}`,
  )
}
process.exitCode = slowest < goalMs ? 0 : 1
