import { createInterface } from 'node:readline'
import { BatonError } from '../errors.ts'
import type { GitOptions } from './git-process.ts'
import { gitFailed, startGit } from './git-process.ts'
import type { RefMove, Repository } from './repository.ts'

/**
 * Holds a branch by a transaction of `git update-ref`. The process lets go by itself when this one dies, since its stdin ends then.
 * Source: git-update-ref(1), "start", "prepare", "commit".
 */
export async function holdRefWithGit(
  place: readonly string[],
  options: GitOptions,
  ref: string,
  { from, to, log, by }: Parameters<Repository['holdRef']>[1],
): Promise<RefMove | undefined> {
  const env = { GIT_COMMITTER_NAME: by.name, GIT_COMMITTER_EMAIL: by.email }
  // The reflog's message is one line.
  const args = [...place, 'update-ref', '--create-reflog', '-m', log.replace(/\s+/g, ' '), '--no-deref', '--stdin', '-z']
  const child = startGit(args, { ...options, env })
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
  })
  child.stdin.on('error', () => {})
  const answers: string[] = []
  let wake: (() => void) | undefined
  let ended = false
  createInterface({ input: child.stdout }).on('line', (line) => {
    answers.push(line)
    wake?.()
  })
  const end = new Promise<void>((done) => {
    const finish = (): void => {
      ended = true
      wake?.()
      done()
    }
    child.once('error', finish)
    child.once('close', finish)
  })
  /** Sends a command and says whether git did it; a process that ended did not. */
  const send = async (command: string, answer: string): Promise<boolean> => {
    child.stdin.write(`${command}\0`)
    while (!answers.includes(answer) && !ended)
      await new Promise<void>((done) => {
        wake = done
      })
    return answers.includes(answer)
  }
  const none = '0'.repeat(to.length)
  child.stdin.write(`start\0update ${ref}\0${to}\0${from ?? none}\0`)
  if (!(await send('prepare', 'prepare: ok'))) {
    await end
    if (/but expected|already exists|unable to resolve reference/.test(stderr)) return undefined
    throw new BatonError('INVALID_STATE', `The branch cannot be moved: ${stderr.trim()}`, { details: { ref } })
  }
  return {
    async commit() {
      const done = await send('commit', 'commit: ok')
      child.stdin.end()
      await end
      if (!done) throw gitFailed('update-ref', stderr.trim())
    },
    async abort() {
      child.stdin.end()
      await end
    },
  }
}
