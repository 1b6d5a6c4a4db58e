"""Posts alert events to webhooks, signed, and keeps trying: what stands between the alert topic and a pager.

Every event that a receiver wants is first written to an outbox on disk, in one transaction with the place in the topic
that it was read from. A process that is killed at any instant goes on from there: what it had posted and not yet noted
is posted again, with the same `webhook-id`.
"""
