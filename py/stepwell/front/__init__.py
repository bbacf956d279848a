"""The callers' front: HTTP/2, gRPC and admission in C++, taken from by Python."""
