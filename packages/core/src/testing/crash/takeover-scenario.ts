import { join } from 'node:path'
import type { Agent } from '../../agents/agent.ts'
import { createModelAgent } from '../../agents/model-agent.ts'
import { createFileBlobStore } from '../../events/file-blob-store.ts'
import { createFileEventStore } from '../../events/file-event-store.ts'
import type { Model } from '../../models/model.ts'
import { createSingleModelRouter } from '../../models/single-model-router.ts'
import { exec } from '../../sandbox/exec.ts'
import { createLocalSandboxProvider } from '../../sandbox/local-sandbox.ts'
import type { Baton } from '../../tasks/baton.ts'
import { createBaton } from '../../tasks/baton.ts'
import type { TaskSpec } from '../../tasks/task-options.ts'
import { createPolicy } from '../../tools/policy.ts'
import type { Tool, ToolContext } from '../../tools/tool.ts'
import { writeTool } from '../collaboration-fixtures.ts'
import { plannedScript } from '../planned-script.ts'
import { scriptedModel } from '../scripted-model.ts'
import type { CrashPoints } from './crash-points.ts'
import { noteDurably, watchBlobs, watchLedger, watchModel, watchSandboxes, watchStore, watchTool } from './crash-points.ts'
import { crashTool, placesIn } from './crash-scenario.ts'

/** Where everything of one run of the scenario is. */
export function takeoverPlaces(dir: string) {
  return {
    ...placesIn(dir),
    ledger: join(dir, 'ledger'),
    /** The messages of each request that was sent, a line each. */
    requests: join(dir, 'requests.txt'),
  }
}

/** The task of the scenario. */
export function takeoverTask(dir: string): TaskSpec {
  return { goal: 'Work together.', workspace: { path: takeoverPlaces(dir).workspace } }
}

/** A file that both write to: the agent in its first line, the person in its last. */
export const shared = 'shared.txt'
export const sharedText = 'one\ntwo\nthree\nfour\nfive\n'

/** A Baton on the folder of one run, for the task's driver and for who attends to it from another process. */
export function createTakeoverBaton(dir: string, points?: CrashPoints): Baton {
  const places = takeoverPlaces(dir)
  const store = createFileEventStore({ dir: places.log, onWarning: () => {} })
  const blobs = createFileBlobStore({ dir: places.blobs })
  const sandboxes = createLocalSandboxProvider({ root: places.sandboxes, isolation: 'none' })
  const model = notingModel(scriptedModel(plannedScript(() => plan)), places.requests)
  const tools = createTakeoverTools(dir)
  if (points) watchLedger(places.ledger, points)
  return createBaton({
    store: points ? watchStore(store, points, places.acknowledged) : store,
    blobs: points ? watchBlobs(blobs, points) : blobs,
    sandboxes: [points ? watchSandboxes(sandboxes, points, { files: true }) : sandboxes],
    router: createSingleModelRouter(points ? watchModel(model, points) : model),
    tools: points ? tools.map((tool) => watchTool(tool, points)) : tools,
    agents: [createTakeoverAgent()],
    ledger: { dir: places.ledger },
    policy: createPolicy({ rules: [{ effect: ['write', 'execute'], decision: 'allow' }] }),
  })
}

const plan = {
  calls: [
    [{ tool: 'note', input: { step: 'tool' } }],
    [{ tool: 'command', input: { step: 'shell' } }],
    [{ tool: 'deploy', input: { step: 'out', text: 'as proposed' } }],
    [{ tool: 'command', input: { step: 'last' } }],
  ],
  text: 'I am done.',
}

/** Works, offers control when it is done, and goes on from what a person made of it. */
function createTakeoverAgent(): Agent {
  const coder = createModelAgent()
  return {
    name: 'coder',
    async run(context) {
      await coder.run(context)
      await context.handOver({ key: 'look', reason: 'Have a look.' })
      return coder.run(context)
    },
  }
}

/** Keeps what it is asked, so that it can be seen what the agent was told. */
function notingModel(model: Model, file: string): Model {
  return {
    ...model,
    async *generate(request, options) {
      noteDurably(file, JSON.stringify(request.messages))
      yield* model.generate(request, options)
    },
  }
}

/** One that says what it writes, one that does not, and one that needs approval. */
function createTakeoverTools(dir: string): readonly Tool[] {
  return [
    crashTool(dir, 'note', 'write', async ({ step }, context) => {
      const sandbox = await context.sandbox()
      const textOf = async (path: string): Promise<string> => Buffer.from(await sandbox.readFile(path).catch(() => '')).toString()
      const write = async (path: string, text: string): Promise<void> => {
        // What an interrupted call has written already is not written again.
        if ((await textOf(path)) !== text) await writeTool.run({ path, text }, context)
      }
      if (step === 'tool') await write(shared, (await textOf(shared)).replace('one', 'ONE'))
      await write(`agent/${step}.txt`, `by ${step}\n`)
      return `noted ${step}`
    }),
    crashTool(dir, 'command', 'execute', runRecorded),
    crashTool(dir, 'deploy', 'external', async ({ text }) => `deployed ${text}`),
  ]
}

/** Says that it runs, as the shell tool does, and not what it writes. */
async function runRecorded({ step }: { step: string }, { callId, sandbox, record, signal }: ToolContext): Promise<string> {
  const command = `mkdir -p agent && echo by ${step} > agent/${step}.txt`
  await record({ type: 'command.started', data: { commandId: callId, command, callId } })
  const { exit, ms } = await exec(await sandbox(), command, { signal })
  const { reason, code } = exit
  await record({ type: 'command.finished', data: { commandId: callId, reason, code, stdoutBytes: 0, stderrBytes: 0, ms: Math.round(ms) } })
  return `ran ${step}`
}
