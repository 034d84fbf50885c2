//! One upstream stream for any number of clients.
