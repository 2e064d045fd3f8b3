// A coding task from end to end, on a sample repository or on one of yours. `npm run demo -- --help` says what it takes.
import { mkdirSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import type { Baton, Task } from '@baton-sdk/core'
import { BatonError, createBaton, createFileBlobStore, createFileEventStore, createSingleModelRouter } from '@baton-sdk/core'
import { createCodingTools } from '@baton-sdk/tools'
import { chooseModel } from './demo/model.ts'
import { createSampleRepository, sampleTask } from './demo/sample-repository.ts'
import { createTimeline } from './demo/timeline.ts'

const help = `npm run demo                      a small repository with a failing test, fixed by a scripted model
npm run demo -- --repo PATH --goal "…" --check "npm test"
                                  the same on a repository of yours, with a live model: set OPENAI_API_KEY,
                                  and OPENAI_BASE_URL and BATON_MODEL where you want another one
npm run demo -- --show            the last task's timeline again, from its log
  --check may be given several times; --fresh forgets an unfinished task; --slow lets the scripted model take its time`

const options = {
  repo: { type: 'string' },
  goal: { type: 'string' },
  check: { type: 'string', multiple: true },
  fresh: { type: 'boolean', default: false },
  show: { type: 'boolean', default: false },
  slow: { type: 'boolean', default: process.stdout.isTTY },
  help: { type: 'boolean', default: false },
} as const

const again = 'Look at it again:         npm run demo -- --show'

type Values = ReturnType<typeof parseArgs<{ options: typeof options }>>['values']

async function main(values: Values): Promise<number> {
  if (values.help) return say(help)
  if ((values.repo === undefined) !== (values.goal === undefined)) return say('--repo and --goal go together. See --help.', 2)
  if (values.check && values.repo === undefined) return say('--check is for a repository of yours: give --repo and --goal too.', 2)
  const home = resolve('.baton', 'demo')
  mkdirSync(home, { recursive: true })
  const model = await chooseModel({ scripted: values.repo === undefined, slow: values.slow })
  if (typeof model === 'string') return say(model, 2)
  const baton = createBaton({
    store: createFileEventStore({ dir: join(home, 'log') }),
    blobs: createFileBlobStore({ dir: join(home, 'blobs') }),
    router: createSingleModelRouter(model.model),
    // Nobody sits here to answer questions.
    tools: createCodingTools().filter(({ name }) => name !== 'ask'),
  })
  try {
    if (values.show) return await show(baton)
    const repository = values.repo === undefined ? join(home, 'repository') : resolve(values.repo)
    const task = (values.fresh ? undefined : await findUnfinished(baton, repository)) ?? (await newTask(baton, repository, values))
    return await run(task, repository, model.note, home)
  } finally {
    await baton.close()
    await model.close()
  }
}

async function newTask(baton: Baton, repository: string, values: Values): Promise<Task> {
  if (values.repo === undefined) createSampleRepository(repository)
  const wanted = values.repo === undefined ? sampleTask : { goal: values.goal ?? '', checks: values.check ?? [] }
  return baton.createTask({
    ...wanted,
    workspace: { path: repository },
    autonomy: 'autonomous',
    limits: { steps: 100 },
    metadata: { repository },
  })
}

/** A task of an earlier run of this program that was paused, or cut off in the middle. */
async function findUnfinished(baton: Baton, repository: string): Promise<Task | undefined> {
  for await (const { taskId, metadata } of baton.tasks({ status: ['running', 'waiting', 'paused'] })) {
    if (metadata?.repository === repository) return baton.openTask(taskId)
  }
  return undefined
}

async function run(task: Task, repository: string, note: string, home: string): Promise<number> {
  const timeline = createTimeline()
  timeline.header(task.summary.goal, [note, `Repository: ${repository}`, 'Ctrl-C pauses; the same command goes on.'])
  if (task.summary.status === 'paused') await task.resume()
  let pausing = false
  const pause = (): void => {
    if (pausing) process.exit(130)
    pausing = true
    timeline.line('Pausing at the next safe point … (Ctrl-C again leaves at once; nothing is lost either way)')
    // A run that ends at this moment cannot be paused any more, and then goes its way.
    void pauseAndLetGo(task).catch(() => {})
  }
  process.on('SIGINT', pause)
  const started = task.start()
  const shown = timeline.follow(task.events({ live: true }))
  const result = await started.result.catch((error: unknown) => {
    if (!pausing) throw error
  })
  process.off('SIGINT', pause)
  // Everything of the sandbox that was changed comes back at once, or nothing where the repository was changed meanwhile.
  const applied = result?.outcome === 'done' ? await task.apply() : undefined
  if (result) await task.end()
  await task.close()
  await shown
  if (!result) return say('\nPaused. Run the same command again to go on.', 130)
  if (!applied) return say(`\nThe run ended with "${result.outcome}", so the repository was left as it was.\n${again}`, 1)
  if (applied.conflicts.length > 0)
    return say(`\nNothing was written, as these files were changed meanwhile: ${applied.conflicts.join(', ')}\n${again}`, 1)
  timeline.footer(result, applied.applied)
  return say(
    `\n${applied.applied.length > 0 ? 'The repository is changed:' : 'The repository is as it was:'}  git -C ${relative('.', repository) || '.'} diff\n${again}\nIts log: ${relative('.', join(home, 'log', `${task.id}.jsonl`))}`,
  )
}

/** Lets go of the task once the pause has taken effect, so that nothing that had begun is cut off. */
async function pauseAndLetGo(task: Task): Promise<void> {
  await task.pause()
  const { seq } = task.summary
  const underWay = new Set<string>()
  for await (const event of task.events()) {
    // A process that is gone has nothing under way.
    if (event.type === 'driver.claimed') underWay.clear()
    if (event.type === 'model.called') underWay.add(event.data.modelCallId)
    if (event.type === 'model.finished' || (event.type === 'model.failed' && event.data.final)) underWay.delete(event.data.modelCallId)
    if (event.type === 'tool.started') underWay.add(event.data.callId)
    if (event.type === 'tool.finished') underWay.delete(event.data.callId)
    if (event.seq >= seq && underWay.size === 0) break
  }
  await task.close()
}

async function show(baton: Baton): Promise<number> {
  let last: string | undefined
  for await (const { taskId } of baton.tasks()) last = taskId
  if (last === undefined) return say('There is no task yet. npm run demo makes one.', 1)
  const task = await baton.openTask(last, { as: 'observer' })
  const timeline = createTimeline()
  timeline.header(task.summary.goal, [`Task ${task.id}, ${task.summary.status}`])
  const events = timeline.follow(task.events())
  await task.close()
  await events
  return 0
}

function say(text: string, code = 0): number {
  console.log(text)
  return code
}

try {
  process.exitCode = await main(parseArgs({ options }).values)
} catch (error) {
  const { code, message } = error as NodeJS.ErrnoException
  const misused = code?.startsWith('ERR_PARSE_ARGS')
  if (!misused && !BatonError.isInstance(error)) throw error
  console.error(misused ? `${message}\n\n${help}` : message)
  process.exitCode = 1
}
