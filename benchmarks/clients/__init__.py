"""What people use today to write rows to Dataverse, each as its own documentation says."""
