"""Names of the columns that rows carry between the steps of this stage."""

from conf.contract import SAMPLING_PROBABILITY

# Where a row comes from.
SOURCE_FILE = "source_file"
BLOCK = "block_start"  # int64, first byte of the part of the file that a task read
LINE = "line_number"  # int64, grows with the lines of one part, with gaps
REDELIVERED = "redelivered"  # boolean, the whole file equals another one
DAMAGED = "damaged"  # boolean, the whole file is cut off or not what its name says
BROKEN = "broken"  # boolean, the line does not have the shape of a row
RAW = "raw"  # string, the line, or the row's values as JSON

LINE_ORDER = (SOURCE_FILE, BLOCK, LINE)

# What a row says (as text where it was just read).
TIME = "time"  # int64 in the end: microseconds since 1970 UTC, or an order number
EVENT_TYPE = "event_type"  # int32 in the end: index into etl.event_types
VALUE = "value"  # double in the end
EVENT_ID = "event_id"
TIME_TEXT = "time_text"
TYPE_TEXT = "type_text"
VALUE_TEXT = "value_text"

FIELD = "field_"  # in front of the name of a declared field of the events
CANCELS = "cancels"  # boolean, takes another event back
BLANKED = "blanked"  # list of strings, rules that made fields of the row null; null if none

# What becomes of it: null while it is kept.
VERDICT = "verdict"
QUARANTINED = "quarantined:"
DROPPED = "dropped:"

# Its place in the user's history.
PLACE = "place"  # int32, from 0, oldest first: how many acts of the user are before it
PART = "part"  # one of the four below
TRAIN = "train"
VALID = "valid"  # the event is the validation's target
TEST = "test"  # the event is the test's target
HELD_OUT = "held_out"  # behind a cut, but no target
SESSION = "session"  # int32, number of the user's session, from 0
SESSION_PLACE = "session_place"  # int32, from 0 in each session

# Of impressions.
PERIOD = "period"  # int32: 0 the training part's time, 1 the validation's, 2 the test's
DRAW = "draw"  # int32: 0 for an act, from 1 for what was shown before it or drawn for it
GAP = "user_gap"  # float, ln(1 + seconds since the user's event before), -1 where there is none
HOUR = "hour"  # int32, 2 + hour of the day in UTC
WEEKDAY = "weekday"  # int32, 2 + day of the week, Monday first
PROBABILITY = SAMPLING_PROBABILITY

# Of histories.
NUM_EVENTS = "num_events"
NUM_SHOWN = "num_shown"  # int64, events that only showed the user an item
TRAIN_LENGTH = "train_length"  # int32, events of the training part
VALID_PLACES = "valid_places"  # list<int32>, places of the validation's targets
TEST_PLACES = "test_places"
WINDOW = "window"  # int32, 0 is the newest
SHARD = "shard"  # int64, number of the file that a row is written to
