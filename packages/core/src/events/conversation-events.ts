import { z } from 'zod'
import { BlobRef, Finding, Sensitivity } from './envelope.ts'

export const Attachment = z.object({ mediaType: z.string(), blob: BlobRef, name: z.string().optional() })
export type Attachment = z.infer<typeof Attachment>

/** Words from a person to the agent, from the agent to people, or from the SDK to the agent; the actor says which. */
export const MessageSent = z.object({
  text: z.string(),
  attachments: z.array(Attachment).optional(),
  sensitivity: Sensitivity.optional(),
  /** What the classifier found in the text: the first hundred. */
  findings: z.array(Finding).optional(),
  /** Makes saying it again a no-op. */
  key: z.string().optional(),
})
export type MessageSent = z.infer<typeof MessageSent>

/** The agent, or a tool, waits for an answer. */
export const QuestionAsked = z.object({
  questionId: z.string(),
  key: z.string(),
  text: z.string(),
  /** Suggested answers; another answer is fine. */
  options: z.array(z.string()).optional(),
  /** The tool call that asks, where one does. */
  callId: z.string().optional(),
})
export type QuestionAsked = z.infer<typeof QuestionAsked>

/** The answer to a question. */
export const QuestionAnswered = z.object({
  questionId: z.string(),
  text: z.string(),
  sensitivity: Sensitivity.optional(),
  /** What the classifier found in the text: the first hundred. */
  findings: z.array(Finding).optional(),
})
export type QuestionAnswered = z.infer<typeof QuestionAnswered>
