import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { z } from 'zod'
import type { Agent, AgentContext } from '../../agents/agent.ts'
import { createModelAgent } from '../../agents/model-agent.ts'
import { exec } from '../../sandbox/exec.ts'
import type { TaskSpec } from '../../tasks/task-options.ts'
import type { Tool } from '../../tools/tool.ts'
import { defineTool } from '../../tools/tool.ts'
import type { Plan } from '../planned-script.ts'
import { plannedScript, userText } from '../planned-script.ts'
import { scriptedModel } from '../scripted-model.ts'
import { noteDurably } from './crash-points.ts'

/** Where everything of one run of the scenario is. */
export function placesIn(dir: string) {
  return {
    log: join(dir, 'log'),
    blobs: join(dir, 'blobs'),
    sandboxes: join(dir, 'sandboxes'),
    workspace: join(dir, 'workspace'),
    /** One line for each time a tool ran. */
    runs: join(dir, 'runs.txt'),
    /** One id for each event whose append was acknowledged. */
    acknowledged: join(dir, 'acknowledged.txt'),
    /** Labels of the places at which a process died. */
    deaths: join(dir, 'deaths.txt'),
    /** There while a process is on its way to the place at which it is to die. */
    dying: join(dir, 'dying'),
  }
}

/** What a tool's run leaves outside the sandbox. */
export interface ToolRun {
  readonly taskId: string
  readonly callId: string
  readonly tool: string
  readonly input: { readonly step: string; readonly text?: string | undefined }
}

/** The task of the scenario. */
export function crashTask(dir: string): TaskSpec {
  return { goal: 'lead', agent: 'lead', workspace: { path: placesIn(dir).workspace }, checks: ['test -f notes/fix.txt'] }
}

/** What a person says while it runs, and to its question. */
export const remark = 'Also greet the world.'
export const signature = 'Ada'
export const lastQuestion = 'Anything else?'

/** Files of the sandbox at the end, as the plans below make them. */
export const finalFiles: Readonly<Record<string, string>> = {
  'notes/one.txt': 'first',
  'notes/two.txt': 'second',
  'out/three.txt': 'three\n',
  'notes/fix.txt': 'fixed',
  'notes/world.txt': 'hello',
  'notes/helper.txt': 'helped',
  'notes/signature.txt': signature,
}

/** A step that changes something, and that only an approval with another input lets run. */
export const approvedInput = { step: 'four', text: 'as approved' }

const leadPlan: Plan['calls'] = [
  [
    { tool: 'look', input: { step: 'a.txt' } },
    { tool: 'look', input: { step: 'big.txt' } },
  ],
  [
    { tool: 'note', input: { step: 'one', text: 'first' } },
    { tool: 'note', input: { step: 'two', text: 'second' } },
  ],
  [{ tool: 'command', input: { step: 'three' } }],
  [{ tool: 'deploy', input: { step: 'four', text: 'as proposed' } }],
  [{ tool: 'ask', input: { step: 'Which colour?' } }],
]

function planFor(text: string): Plan {
  if (text.startsWith('helper')) return { calls: [[{ tool: 'note', input: { step: 'helper', text: 'helped' } }]], text: 'Helped.' }
  const more = [
    ...(text.includes('do not pass') || text.includes('does not pass') ? [{ tool: 'note', input: { step: 'fix', text: 'fixed' } }] : []),
    ...(text.includes(remark) ? [{ tool: 'note', input: { step: 'world', text: 'hello' } }] : []),
  ]
  return { calls: [...leadPlan, more], text: 'All steps are done.' }
}

/** The model of the scenario. */
export function createPlannedModel() {
  return scriptedModel(plannedScript((request) => planFor(userText(request))))
}

/** The agents: one that works by the model and adds steps of its own, and one for the part that it gives away. */
export function createCrashAgents(): readonly Agent[] {
  const coder = createModelAgent()
  const lead: Agent = {
    name: 'lead',
    async run(context) {
      await context.say('I begin.', { key: 'begin' })
      const { text } = await coder.run(context)
      const part = await context.delegate({ goal: 'helper', agent: 'helper', shareSandbox: true }, { key: 'part' })
      const who = await context.ask('Who signs?', { key: 'sign' })
      await sign(context, who)
      // What is said now is said when the model has given its last answer: only a prompt of its own can bring it up.
      if (await wasChecked(context)) await context.ask(lastQuestion, { key: 'else' })
      return { text: `${text} ${part.text} Signed by ${who}.` }
    },
  }
  return [lead, createModelAgent({ name: 'helper' })]
}

async function wasChecked({ events }: AgentContext): Promise<boolean> {
  for await (const { type } of events.read()) if (type === 'check.finished') return true
  return false
}

/** A call of the agent's own: after an interruption it makes another one, knowingly. */
async function sign(context: AgentContext, text: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const { outcome } = await context.tool({ callId: `sign-${attempt}`, tool: 'note', input: { step: 'signature', text } })
    if (outcome === 'ok') return
    if (outcome !== 'interrupted') throw new Error(`the signature came to ${outcome}`)
  }
}

const Step = z.object({ step: z.string(), text: z.string().optional() })

/** A tool that writes down outside the sandbox that it runs, and takes so long that a kill at a random moment can meet it. */
export function crashTool(
  dir: string,
  name: string,
  effect: Tool['effect'],
  work: (input: z.infer<typeof Step>, context: Parameters<Tool['run']>[1]) => Promise<unknown>,
): Tool {
  return defineTool({
    name,
    description: `Does ${name}.`,
    effect,
    input: Step,
    async run(input, context) {
      const { taskId, callId } = context
      noteDurably(placesIn(dir).runs, JSON.stringify({ taskId, callId, tool: name, input } satisfies ToolRun))
      if (effect !== 'read') await wait(15)
      return work(input, context)
    },
  })
}

/** Tools of every effect. */
export function createCrashTools(dir: string): readonly Tool[] {
  const tool = (...[name, effect, work]: Parameters<typeof crashTool> extends [string, ...infer Rest] ? Rest : never): Tool =>
    crashTool(dir, name, effect, work)
  return [
    tool('look', 'read', async ({ step }, { sandbox }) => Buffer.from(await (await sandbox()).readFile(step)).toString()),
    tool('note', 'write', async ({ step, text = '' }, { sandbox }) => {
      await (await sandbox()).writeFile(`notes/${step}.txt`, Buffer.from(text))
      return `noted ${step}`
    }),
    tool('command', 'execute', async ({ step }, { sandbox, signal }) => {
      const { output } = await exec(await sandbox(), `mkdir -p out && echo ${step} > out/${step}.txt`, { signal })
      return output
    }),
    tool('deploy', 'external', async ({ text }) => `deployed ${text}`),
    tool('ask', 'read', ({ step }, context) => context.ask(step)),
  ]
}
