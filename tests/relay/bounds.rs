//! Who shares with whom, and what relays can be made to hold.
