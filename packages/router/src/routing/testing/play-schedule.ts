import type { BatonOptions, Event, LoggedEvent, Model, Router, RunResult, Task } from '@baton-sdk/core'
import { createBaton, createModelAgent, defineTool, isKnown } from '@baton-sdk/core'
import { createMemorySandboxProvider, eventsOf } from '@baton-sdk/core/testing'
import { z } from 'zod'
import { createRouter } from '../router.ts'
import { acceptJudge } from '../verifiers/accept-judge.ts'
import type { Verifier } from '../verifiers/verifier.ts'
import type { PolicyOf } from './sample-policies.ts'
import type { Actor, Secrecy, World } from './world.ts'
import { classifyMarkers, createWorld } from './world.ts'

/** One task, the models around it, and what happens to it. */
export interface Schedule {
  readonly actors: readonly Actor[]
  readonly judges: readonly Actor[]
  readonly policyOf: PolicyOf
  /** Routes every call to every model, in an order that depends on this number. */
  readonly leaky: number | undefined
  readonly hedgeAfterMs: number | undefined
  readonly sensitivity: Exclude<Secrecy, 'unknowable'>
  readonly budgetUsd: number | undefined
  /** The times that its check fails first, and what it prints; undefined where it has no check. */
  readonly check: { readonly failures: number; readonly prints: Secrecy } | undefined
  /** What a person sends, at which request of the world. */
  readonly messages: readonly { readonly at: number; readonly secrecy: Secrecy }[]
  readonly cancelAt: number | undefined
  readonly runs: number
}

/** What a schedule came to. */
export interface Played {
  /** What should not have happened, in words. */
  readonly violations: readonly string[]
  /** Words for what did happen, for counting. */
  readonly happened: readonly string[]
}

const { number, string } = z

/** How schedules are played. */
export interface PlayOptions {
  modelOf(world: World, actor: Actor): Model
  readonly timing: NonNullable<BatonOptions['timing']>
  /** In place of the classifier that knows the world's content. */
  readonly classify?: (text: string) => Exclude<Secrecy, 'unknowable'>
  /** In place of a judge that obeys clearance. */
  readonly verifierOf?: (judges: readonly Model[]) => Verifier
}

/** Runs a schedule to its end. */
export async function playSchedule(schedule: Schedule, options: PlayOptions): Promise<Played> {
  const { modelOf, timing, classify = classifyMarkers } = options
  const { verifierOf = (model) => acceptJudge({ model, timeoutMs: 50 }) } = options
  const world = createWorld()
  const started: { task?: Task } = {}
  const make = (actor: Actor): Model => watchBudget(modelOf(world, actor), schedule, world, started)
  const models = schedule.actors.map(make)
  const judges = schedule.judges.map(make)
  let checks = 0
  const baton = createBaton({
    router: schedule.leaky === undefined ? honest(schedule, models, verifierOf(judges)) : leaky(schedule, models),
    tools: toolsOf(world),
    policy: { decide: () => ({ decision: 'allow' }) },
    classifier: { classify },
    agents: [createModelAgent({ instructions: 'Work.' })],
    sandboxes: [
      createMemorySandboxProvider({
        commands: {
          async check({ stdout }) {
            await stdout(world.content(schedule.check?.prints ?? 'public'))
            return ++checks <= (schedule.check?.failures ?? 0) ? 1 : 0
          },
        },
      }),
    ],
    timing,
    // Nobody is there to look at an agent that goes in circles.
    stuck: { nudgeAfter: 50, pauseAfter: 60 },
  })
  const task = await baton.createTask({
    goal: `Do it. ${world.content(schedule.sensitivity)}`,
    sensitivity: schedule.sensitivity === 'public' ? 'public' : 'internal',
    autonomy: 'autonomous',
    checkRounds: 2,
    ...(schedule.check && { checks: ['check'] }),
    limits: { steps: 30, ...(schedule.budgetUsd !== undefined && { costUsd: schedule.budgetUsd }) },
  })
  started.task = task
  intervene(schedule, world, task)
  const violations: string[] = []
  const ends: string[] = []
  for (let run = 0; run < schedule.runs; run++) {
    const result = await withoutHang(task.start().result)
    if (!result) {
      violations.push('a run did not come to its end')
      break
    }
    ends.push(result.outcome, ...(result.error ? [result.error.code] : []))
  }
  const events = await eventsOf(task)
  if (!violations.length) await baton.close()
  violations.push(...world.violations, ...effectsIn(events, world), ...spendIn(events, task, schedule, world))
  return { violations, happened: [...ends, ...happenedIn(events), ...(world.judged > 0 ? ['judged'] : [])] }
}

function honest({ policyOf, hedgeAfterMs }: Schedule, models: readonly Model[], verify: Verifier): Router {
  const policy = policyOf(
    models.map(({ id }) => id),
    verify,
  )
  return createRouter({ models, policy, hedgeAfterMs })
}

/** A third party's router that knows no label, no price and no window. */
function leaky({ leaky: seed = 0, hedgeAfterMs }: Schedule, models: readonly Model[]): Router {
  let calls = seed
  return {
    models,
    async route() {
      calls += 1
      const turned = models.map((_, at) => models[(at * 7 + calls) % models.length] as Model)
      return { attempts: turned.map((model) => ({ model, ...(hedgeAfterMs !== undefined && { hedgeAfterMs }) })), considered: [] }
    },
  }
}

function toolsOf(world: World): NonNullable<BatonOptions['tools']> {
  return [
    defineTool({
      name: 'fetch',
      description: 'Fetches something.',
      input: z.object({ secrecy: string(), padding: number(), number: number() }),
      effect: 'read',
      run: async ({ secrecy, padding }) => world.content(secrecy as Secrecy, padding),
    }),
    defineTool({
      name: 'deploy',
      description: 'Deploys something, for all the world to see.',
      input: z.object({ number: number() }),
      effect: 'external',
      async run({ number: what }) {
        world.deploy(what)
        return 'deployed'
      },
    }),
  ]
}

/** Looks at the budget where a request is sent: on its way to a server another one may end. */
function watchBudget(model: Model, { budgetUsd }: Schedule, world: World, started: { readonly task?: Task }): Model {
  return {
    ...model,
    async *generate(request, options) {
      const spentUsd = started.task?.summary.spent.costUsd ?? 0
      if (budgetUsd !== undefined && spentUsd > budgetUsd)
        world.violations.push(`a request was sent with $${spentUsd} of $${budgetUsd} spent`)
      yield* model.generate(request, options)
    },
  }
}

/** The people of the task. */
function intervene({ messages, cancelAt }: Schedule, world: World, task: Task): void {
  world.onRequest((count) => {
    // What cannot be classified is refused, and a task may be over by now: both are for the person to know.
    for (const { at, secrecy } of messages) if (at === count) task.send(world.content(secrecy)).catch(() => {})
    if (cancelAt === count) task.cancel().catch(() => {})
  })
}

async function withoutHang(result: Promise<RunResult>): Promise<RunResult | undefined> {
  let timer: NodeJS.Timeout | undefined
  const hang = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, 30_000, undefined)
  })
  return Promise.race([result, hang]).finally(() => clearTimeout(timer))
}

function known(events: readonly LoggedEvent[]): Event[] {
  return events.filter((event): event is Event => isKnown(event))
}

/** Everything that was done was asked for by a reply that was taken, and was done once. */
function effectsIn(events: readonly LoggedEvent[], world: World): string[] {
  const asked = new Set<number>()
  for (const event of known(events)) {
    if (event.type !== 'model.finished') continue
    for (const { input } of event.data.toolCalls) asked.add((input as { number: number }).number)
  }
  return [...world.deployed].flatMap(([what, times]) => [
    ...(times > 1 ? [`${what} was deployed ${times} times`] : []),
    ...(asked.has(what) ? [] : [`${what} was deployed, and no reply that was taken asks for it`]),
  ])
}

function spendIn(events: readonly LoggedEvent[], task: Task, { budgetUsd }: Schedule, { dearestUsd }: World): string[] {
  let spentUsd = 0
  for (const { type, data } of known(events))
    if (type === 'model.finished' || type === 'model.failed') spentUsd += (data.costUsd ?? 0) + (data.judge?.costUsd ?? 0)
  const wrong =
    Math.abs(spentUsd - task.summary.spent.costUsd) > 1e-9
      ? [`the log tells of $${spentUsd}, the summary of $${task.summary.spent.costUsd}`]
      : []
  if (budgetUsd !== undefined && spentUsd > budgetUsd + dearestUsd + 1e-9)
    wrong.push(`$${spentUsd} were spent of $${budgetUsd}, and the dearest call was $${dearestUsd}`)
  return wrong
}

function happenedIn(events: readonly LoggedEvent[]): string[] {
  return known(events).flatMap((event) => {
    if (event.type === 'model.failed') return [event.data.error.code]
    if (event.type === 'model.called') return event.data.why.map(({ reason }) => reason)
    return [event.type]
  })
}
