import { spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'

const scripts = [
  'check:types',
  'check:unused',
  'check:lint',
  'check:dependencies',
  'check:names',
  'check:docs',
  'check:errors',
  'check:events',
]

/** Runs one script of package.json; `node --run` starts in a fraction of the time that npm takes. */
function run(script: string): Promise<boolean> {
  const started = performance.now()
  const child = spawn(process.execPath, ['--run', script], { cwd: resolve(import.meta.dirname, '..'), stdio: ['ignore', 'pipe', 'pipe'] })
  const output: Buffer[] = []
  child.stdout.on('data', (chunk) => output.push(chunk))
  child.stderr.on('data', (chunk) => output.push(chunk))
  return new Promise((done) => {
    child.on('close', (code) => {
      const ok = code === 0
      console.log(`${ok ? 'ok    ' : 'FAILED'} ${script} (${((performance.now() - started) / 1000).toFixed(1)} s)`)
      if (!ok) process.stdout.write(Buffer.concat(output))
      done(ok)
    })
  })
}

const waiting = [...scripts]
let failed = false
const worker = async (): Promise<void> => {
  for (let script = waiting.shift(); script !== undefined; script = waiting.shift()) if (!(await run(script))) failed = true
}
await Promise.all(Array.from({ length: Math.min(availableParallelism(), scripts.length) }, worker))
process.exitCode = failed ? 1 : 0
