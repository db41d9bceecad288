"""Names of the columns that the steps of this stage share."""

from conf.contract import GAP as GAP
from conf.contract import HOUR as HOUR
from conf.contract import NUM_EVENTS as NUM_EVENTS
from conf.contract import SAMPLING_PROBABILITY
from conf.contract import SESSION_PLACE as SESSION_PLACE
from conf.contract import SOURCE_FILE as SOURCE_FILE
from conf.contract import WEEKDAY as WEEKDAY

# Where a row comes from.
BLOCK = "block_start"  # int64, first byte of the part of the file that a task read
LINE = "line_number"  # int64, increases with the lines of one block, with gaps
LOG = "log_number"  # int32, number of the log among all logs, from 0
REDELIVERED = "redelivered"  # boolean, the whole file equals another one
DAMAGED = "damaged"  # boolean, the whole file is cut off or its name is wrong
BROKEN = "broken"  # boolean, the line does not have the shape of a row
RAW = "raw"  # string, the line, or the row's values as JSON

LINE_ORDER = (SOURCE_FILE, BLOCK, LINE)

# The content of a row; the *_TEXT columns hold it as read.
TIME = "time"  # int64: microseconds since 1970 UTC, or an order number
EVENT_TYPE = "event_type"  # int32: index into etl.event_types
VALUE = "value"  # double
EVENT_ID = "event_id"
ID_FAULT = "event_id_fault"  # string, why the event id identifies nothing; null if it does
AT_MIDNIGHT = "at_midnight"  # boolean, TIME may be a whole day; only with EVENT_ID and real times
TIME_TEXT = "time_text"
TYPE_TEXT = "type_text"
VALUE_TEXT = "value_text"

CONFIDENCE = "confidence"  # float, at least 0; only if acts can differ in it
FIELD = "field_"  # prefix of the names of declared event fields
CANCELS = "cancels"  # boolean, cancels another event
OUTWEIGHS = "outweighs"  # boolean, dropped, but of a larger weight than the event kept
BLANKED = "blanked"  # list of strings, rules that changed fields of the row; null if none
# Rules of local times, in BLANKED; for a field with its name and a line before.
CLOCK_FAULTS = ("time_passed_over", "time_shown_twice")
NOT_DECODED = "not_decoded"  # boolean, a text has characters that could not be decoded

# The verdict on a row: null while it is kept.
VERDICT = "verdict"
QUARANTINED = "quarantined:"
DROPPED = "dropped:"

# The place of an event in the user's history.
PLACE = "place"  # int32, from 0, oldest first: number of the user's acts before it
PART = "part"  # one of the four values below
TRAIN = "train"
VALID = "valid"  # the event is a validation target
TEST = "test"  # the event is a test target
HELD_OUT = "held_out"  # after a cut, but not a target
SESSION = "session"  # int32, number of the user's session, from 0

# Columns of impressions.
PERIOD = "period"  # int32: 0 training, 1 validation, 2 test
DRAW = "draw"  # int32: 0 for an act, from 1 for impressions before it or negatives drawn for it
PROBABILITY = SAMPLING_PROBABILITY

# Columns of histories.
NUM_SHOWN = "num_shown"  # int64, number of impressions
TRAIN_LENGTH = "train_length"  # int32, number of acts in the training part
VALID_PLACES = "valid_places"  # list<int32>, places of the validation targets
TEST_PLACES = "test_places"
WINDOW = "window"  # int32, 0 is the newest
SHARD = "shard"  # int64, number of the file that a row is written to
