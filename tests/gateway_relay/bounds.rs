//! What strangers can make the gateway hold.
